"""What each profile asks HTCondor for, in the submit descriptions that its real executor plugin builds."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import snakemake_executor_plugin_htcondor as htcondor
import yaml

from cyclotrain.cluster.profiles import TRANSLATIONS
from cyclotrain.cluster.resources import RESOURCES
from support import REPOSITORY
from support.workflow import Workflow, small_demo

pytestmark = pytest.mark.workflow
Job = tuple[list[str], dict[str, str]]
HTCONDOR = [profile for profile, words in TRANSLATIONS.items() if "htcondor_request_mem_mb" in words]


def everything() -> dict[str, Any]:
    """The demo with every rule in it, and a GPU."""
    raw = small_demo()
    raw["training"]["accelerator"] = "gpu"
    raw["export"] |= {"variants": {"int8_dynamic": {}}, "consumers": ["torchscript", "aot_inductor"]}
    raw["samples"]["recorded"] = {"simulate": {"process": "qcd", "jets": 1000, "files": 2}, "tree": "Jets", "data": True}
    raw["systematics"] = {"scale": {"up": {"branches": {"pf_pt": "1.02 * pf_pt"}}}}
    raw["compare"] = {"old": "models:/tagger@champion"}
    return raw


def submit(folder: Path, profile: str, *arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[Job]]:
    """Snakemake's output, and the submitted jobs: the rules in each, and its submit description."""
    workflow = Workflow(folder / "project")
    (workflow.folder / "test.yaml").write_text(yaml.safe_dump(everything()))
    command = [sys.executable, REPOSITORY / "tests/clusters/submissions.py", folder / "record", *arguments]
    command += ["--workflow-profile", profile, "--seconds-between-status-checks", "0"]
    quick = ["--latency-wait", "1", "--no-hooks", "--configfile", "test.yaml"]
    done = subprocess.run(
        [*map(str, command), *quick], cwd=workflow.folder, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
    )  # fmt: skip
    record = folder / "record"
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    return done, [(line["rules"], {key.lower(): word for key, word in line["submitted"].items()}) for line in lines]


@pytest.fixture(scope="module", params=HTCONDOR)
def submissions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Job]]:
    """The profile, and the jobs of a whole run, its friend trees and a scan of learning rates."""
    folder = tmp_path_factory.mktemp(request.param)
    done, jobs = submit(folder, request.param, "all", "score", "find_learning_rate", PLANTED_TOKEN="s3cr3t")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "s3cr3t" not in done.stdout + done.stderr
    return request.param, jobs


def test_every_rule_gets_what_the_table_states(submissions: tuple[str, list[Job]]) -> None:
    profile, submitted = submissions
    rules = {rule: asdict(resources) for rule, resources in RESOURCES.items()}
    (word,) = (word for word, expression in TRANSLATIONS[profile].items() if "{runtime}" in expression)
    time = word.replace("classad_", "my.").lower()
    assert {rule for together, _ in submitted for rule in together} == set(rules)
    for together, description in submitted:
        got = {
            "mem_mb": int(description["request_memory"].removesuffix("MB")),
            "disk_mb": int(description["request_disk"]) / 1024,
            "runtime": int(description[time]) / 60,
        }
        if len(together) == 1:
            assert got == rules[together[0]]
        else:
            assert all(got[number] >= rules[rule][number] for rule in together for number in got), together
        assert 1 <= int(description["request_cpus"]) <= 4
        # jobs find git and uv, and a token file by its variable's name
        assert "PATH" in description["getenv"] and "BEARER_TOKEN_FILE" in description["getenv"]


def test_many_small_jobs_are_few(submissions: tuple[str, list[Job]]) -> None:
    jobs = sorted("+".join(sorted(set(together))) for together, _ in submissions[1])
    model = (
        "aot_inductor+compare_data+evaluate+export+predict+predict_compared+predict_other+reference_vectors+systematics+time_model"
        "+torchscript+variant+verify"
    )
    alone = ["assemble", "baseline", "describe_inputs", "importance", "scan_learning_rates", *["score_file"] * 8, "train"]
    assert jobs == sorted([*alone, model, "simulate+skim"])


def test_what_trains_alone_asks_for_a_gpu(submissions: tuple[str, list[Job]]) -> None:
    for together, description in submissions[1]:
        assert description.get("request_gpus", "0") == ("1" if together in (["train"], ["scan_learning_rates"]) else "0")


def test_without_a_shared_file_system_a_job_brings_what_it_needs(submissions: tuple[str, list[Job]]) -> None:
    profile, submitted = submissions
    for _, description in submitted:
        if profile == "htcondor-noshared":
            files = description["transfer_input_files"].split(", ")
            assert {"workflow", "scripts", "envs", "config"} <= set(files)
            assert not [path for path in files if path.startswith("..")]  # HTCondor would hold the job
            assert "CYCLOTRAIN_PYTHON" in description["getenv"]
            assert description["executable"] == "profiles/htcondor-noshared/job.sh" and description["executable"] in files
            assert description["should_transfer_files"] == "YES"
        else:
            assert "transfer_input_files" not in description


SKIM = "results/demo/skims/qcd/000.json"


def test_one_resource_by_another_still_crashes_in_a_default(tmp_path: Path) -> None:
    done, _ = submit(tmp_path, "htcondor", SKIM, "--default-resources", "htcondor_submit_x=resources.mem_mb")
    assert done.returncode and "ValueError: Resource must be evaluated within the context of a rule" in done.stderr


def test_variables_by_their_value_are_still_handed_over_in_quotes_so_getenv_is_used(tmp_path: Path) -> None:
    _, [(_, description)] = submit(tmp_path, "htcondor", SKIM, "--envvars", "ONE", "TWO", ONE="1", TWO="2")
    assert set(description["environment"].split()) == {'ONE="1"', 'TWO="2"'}  # of a set, in any order


def test_a_command_before_the_job_is_still_no_command(tmp_path: Path) -> None:
    _, [(_, description)] = submit(tmp_path, "htcondor", SKIM, "--precommand", "echo hi")
    assert description["executable"] == sys.executable and description["arguments"].startswith("hi && ")


def test_a_held_job_still_blocks_for_hours_by_default() -> None:
    assert htcondor.ExecutorSettings().held_timeout == 4 * 3600
