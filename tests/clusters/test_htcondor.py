"""The whole demo at test size on a real HTCondor pool, with and without a shared file system. make test-clusters"""

import json
import shutil
from pathlib import Path
from typing import Any

from servers import HTCondorPool
from sites import APART, HTCONDOR, Training, Undisturbed, a_gpu, finished, more, needs_clusters, no_gpu

from cyclotrain.cluster.resources import RESOURCES
from support.workflow import Workflow, small_demo, ten_thousand_files

pytest_plugins = ["sites", "xrootd_server"]
pytestmark = needs_clusters


def jobs_of(workflow: Workflow, pool: HTCondorPool, *attributes: str) -> dict[str, dict[str, Any]]:
    """HTCondor's attributes of a workflow's jobs, by rule."""
    code = f"json.dumps([dict(j) for j in s().history('Iwd == \"{workflow.folder}\"', {['JobBatchName', *attributes]}, 100)])"
    return {job["JobBatchName"].rpartition("-")[0]: job for job in json.loads(pool.ask(f"import json; print({code})"))}


# the rules of the demo whose jobs share no submission with others
ALONE = ("assemble", "baseline", "describe_inputs", "importance", "train")


def test_the_demo_on_htcondor(pool: HTCondorPool, at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    workflow.run(small_demo(), *HTCONDOR, **pool.environment)
    finished(workflow, at_home)
    jobs = jobs_of(workflow, pool, "RequestCpus", "RequestMemory", "RequestDisk", "AllowedJobDuration")
    for rule in ALONE:
        assert jobs[rule]["RequestMemory"] == RESOURCES[rule].mem_mb
        assert jobs[rule]["RequestDisk"] == RESOURCES[rule].disk_mb * 1024
        assert jobs[rule]["AllowedJobDuration"] == RESOURCES[rule].runtime * 60
        assert 1 <= jobs[rule]["RequestCpus"] <= 2
    assert len(jobs) == len(ALONE) + 2  # one ingests everything, and one does all for the exported model


def test_the_demo_on_htcondor_whose_workers_do_not_see_the_submit_host(pool: HTCondorPool, at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    assert pool.worker.view(workflow.folder).exists() and not pool.apart.view(workflow.folder).exists()
    workflow.run(small_demo(), *APART, **pool.apart_environment)
    finished(workflow, at_home)
    ran = jobs_of(workflow, pool, "LastRemoteHost", "BytesRecvd", "BytesSent")
    assert set(ALONE) < set(ran) and len(ran) == len(ALONE) + 2
    for job in ran.values():
        assert "@apart@" in job["LastRemoteHost"]
        assert job["BytesSent"] > 0 and job["BytesRecvd"] > 0


@no_gpu
def test_a_training_that_must_have_a_gpu_is_given_one_and_says_which_when_pytorch_sees_none(
    pool: HTCondorPool, tmp_path: Path
) -> None:
    training = Training(tmp_path)
    output = training.without_its_gpu(*HTCONDOR, **pool.environment)
    asked = jobs_of(training.workflow, pool, "RequestGPUs", "AssignedGPUs")
    assert asked["train"]["RequestGPUs"] == 1 and asked["assemble"].get("RequestGPUs", 0) == 0
    assert f"PyTorch finds no GPU (CUDA_VISIBLE_DEVICES={asked['train']['AssignedGPUs']})" in output


@a_gpu
def test_a_training_that_must_have_a_gpu_trains_on_htcondors_and_one_that_need_not_leaves_it(
    pool: HTCondorPool, tmp_path: Path
) -> None:
    must, may = Training(tmp_path / "must"), Training(tmp_path / "may")
    assert must.device("gpu", *HTCONDOR, **pool.environment) != "CPU"
    assert may.device("auto", *HTCONDOR, **pool.environment) == "CPU"
    assigned = jobs_of(must.workflow, pool, "RequestGPUs", "AssignedGPUs")["train"]
    assert assigned["RequestGPUs"] == 1 and assigned["AssignedGPUs"].startswith("GPU-")


def test_ones_own_files_are_carried_to_workers_or_read_by_them_over_the_network(
    pool: HTCondorPool, xrootd: tuple[int, Path], undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed()
    port, data = xrootd
    training = Training(tmp_path)
    shutil.move(training.workflow.folder / "signal.root", data / "signal.root")
    training.raw["samples"]["signal"]["files"] = [f"root://127.0.0.1:{port}//signal.root"]
    training.ends_as(expected, training.start(*APART, **pool.apart_environment))
    read = json.loads((training.results / "dataset.json").read_text())
    assert "signal.root" in str(read) and f"root://127.0.0.1:{port}" in str(read)


@more
def test_some_of_ten_thousand_files_are_skimmed_by_one_job(pool: HTCondorPool, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    raw = ten_thousand_files(workflow.folder)
    receipts = [f"results/dimuon/skims/data/{job:04d}-of-128.json" for job in range(3)]
    workflow.run(raw, *receipts, *HTCONDOR, **pool.environment)
    assert pool.ask(f"print(len(s().history('Iwd == \"{workflow.folder}\"', ['ClusterId'], 100)))") == "1"
    for receipt in receipts:
        read = json.loads((workflow.folder / receipt).read_text())
        assert read["events_read"] == 2421 * len(read["files"]) > 2421 * 40


def test_files_that_workers_do_not_see_are_an_error_before_any_job(pool: HTCondorPool, tmp_path: Path) -> None:
    training = Training(tmp_path)
    absolute = str(training.workflow.folder / "signal.root")
    training.raw["samples"]["signal"]["files"] = [absolute]
    done = training.workflow.run(training.raw, *APART, check=False, **pool.apart_environment)
    assert done.returncode
    assert f"samples.signal: the workers cannot see '{absolute}'" in done.stdout
    assert not training.results.exists()
