"""The demo at test size, whole, on a real HTCondor pool: with and without a shared file system. make test-clusters"""

import json
from pathlib import Path
from typing import Any

from servers import HTCondorPool
from sites import APART, ENVIRONMENT, HTCONDOR, demo, finished, needs_clusters

from conftest import Workflow
from cyclotrain.profiles import stated

pytest_plugins = ["sites"]
pytestmark = needs_clusters


def jobs_of(workflow: Workflow, pool: HTCondorPool, *words: str) -> dict[str, dict[str, Any]]:
    """What HTCondor says of a workflow's jobs, by rule."""
    code = f"json.dumps([dict(j) for j in s().history('Iwd == \"{workflow.folder}\"', {['JobBatchName', *words]}, 100)])"
    return {job["JobBatchName"].rpartition("-")[0]: job for job in json.loads(pool.ask(f"import json; print({code})"))}


def test_the_demo_on_htcondor(pool: HTCondorPool, at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    workflow.run(demo(), *HTCONDOR, **pool.environment)
    finished(workflow, at_home)
    asked = jobs_of(workflow, pool, "RequestCpus", "RequestMemory", "RequestDisk", "AllowedExecuteDuration")
    rules = stated()
    for rule in ("assemble", "train", "export", "verify", "evaluate", "time_model", "bundle"):
        assert asked[rule]["RequestMemory"] == rules[rule]["mem_mb"]
        assert asked[rule]["RequestDisk"] == rules[rule]["disk_mb"] * 1024
        assert asked[rule]["AllowedExecuteDuration"] == rules[rule]["runtime"] * 60
        assert 1 <= asked[rule]["RequestCpus"] <= 2
    grouped = [name for name in asked if name.startswith(("simulate", "skim"))]
    assert len(grouped) == 2 < 8  # the eight files of simulate and skim are two jobs


def test_the_demo_on_htcondor_whose_workers_do_not_see_the_submit_host(pool: HTCondorPool, at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    assert pool.worker.view(workflow.folder).exists() and not pool.apart.view(workflow.folder).exists()
    workflow.run(demo(), *APART, **pool.environment, CYCLOTRAIN_PYTHON=str(ENVIRONMENT / "bin/python"))
    finished(workflow, at_home)
    ran = jobs_of(workflow, pool, "LastRemoteHost", "BytesRecvd", "BytesSent")
    assert {"assemble", "train", "export", "verify", "evaluate", "time_model", "bundle"} <= set(ran)
    for job in ran.values():
        assert "@apart@" in job["LastRemoteHost"]
        assert job["BytesSent"] > 0 and job["BytesRecvd"] > 0
