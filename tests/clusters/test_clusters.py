"""Whole runs on a real HTCondor pool and a real Slurm, and what clusters do to jobs, done on purpose.

make test-clusters
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import servers
from servers import HTCondorPool, wait_until

from conftest import Workflow, raw_config, small_demo, toys
from cyclotrain.profiles import stated
from cyclotrain.provenance import file_sha256, read_json_lines

pytestmark = [pytest.mark.clusters, pytest.mark.skipif(bool(servers.missing()), reason=f"a cluster: {servers.missing()}")]

# faster than a real cluster needs, and with the two cores that there are
QUICK = ("--seconds-between-status-checks", "1", "--cores", "2", "--latency-wait", "20")
HTCONDOR = ("--workflow-profile", "workflow/profiles/htcondor", *QUICK, "--htcondor-held-timeout", "0")
SLURM = (
    "--workflow-profile", "workflow/profiles/slurm", *QUICK, "--slurm-no-account", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "1",
)  # fmt: skip
# two threads would wait for each other where something else runs
ONE_THREAD = ("--set-threads", "train=1")


def shared() -> list[Path]:
    """What jobs see at the same path: this environment, and the Pythons beside the one that it is of."""
    return [Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve().parent]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTCondorPool]:
    root = servers.htcondor_root(Path("/var/tmp/cyclotrain-htcondor"))
    pool = HTCondorPool(root, tmp_path_factory.mktemp("pool"), shared())
    yield pool
    pool.stop()


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    # the daemons still write their state while the folder is removed
    with tempfile.TemporaryDirectory(prefix="cyclotrain-slurm-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # munged wants its socket where everybody can go
        with servers.slurm(Path(folder)) as environment:
            yield environment


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The SHA-256 of the demo's model of a local run."""
    workflow = Workflow(tmp_path_factory.mktemp("home") / "project")
    workflow.run(small_demo(), "results/demo/model/model.onnx")
    return file_sha256(workflow.folder / "results/demo/model/model.onnx")


def finished(workflow: Workflow, at_home: str) -> None:
    results = workflow.folder / "results/demo"
    assert file_sha256(results / "model/model.onnx") == at_home
    assert (results / "summary.txt").exists() and (results / "deploy/SHA256SUMS").exists()


def test_the_demo_on_htcondor(pool: HTCondorPool, at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    workflow.run(small_demo(), *HTCONDOR, **pool.environment)
    finished(workflow, at_home)
    words = "['JobBatchName', 'RequestCpus', 'RequestMemory', 'RequestDisk', 'AllowedExecuteDuration']"
    jobs = json.loads(pool.ask(f"import json; print(json.dumps([dict(j) for j in s().history('true', {words}, 100)]))"))
    asked = {job["JobBatchName"].rpartition("-")[0]: job for job in jobs}
    rules = stated()
    for rule in ("assemble", "train", "export", "verify", "evaluate", "time_model", "bundle"):
        assert asked[rule]["RequestMemory"] == rules[rule]["mem_mb"]
        assert asked[rule]["RequestDisk"] == rules[rule]["disk_mb"] * 1024
        assert asked[rule]["AllowedExecuteDuration"] == rules[rule]["runtime"] * 60
        assert 1 <= asked[rule]["RequestCpus"] <= 2
    grouped = [name for name in asked if name.startswith(("simulate", "skim"))]
    assert len(grouped) == 2 < 8  # the eight files of simulate and skim are two jobs


def test_the_demos_model_on_slurm(slurm: dict[str, str], at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    workflow.run(small_demo(), "results/demo/model/model.onnx", *SLURM, **slurm)
    assert file_sha256(workflow.folder / "results/demo/model/model.onnx") == at_home


class Training:
    """A training of some ten seconds, on its way to the exported model, to which things are done."""

    def __init__(self, folder: Path) -> None:
        self.workflow = Workflow(folder / "project")
        self.raw = raw_config(toys(folder), training={"epochs": 40, "patience": 40, "batch_size": 32})
        self.results = self.workflow.folder / "results/test"
        self.target = "results/test/model/model.onnx"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return self.workflow.start(self.raw, self.target, *arguments, *ONE_THREAD, **environment)

    def epochs(self) -> int:
        history = self.results / "train/history.jsonl"
        return len(history.read_text().splitlines()) if history.exists() else 0

    def checkpoint(self) -> None:
        """Wait until some epochs are done."""
        wait_until(lambda: self.epochs() >= 3, 120, "no training has begun")

    def ends_as(self, expected: str, process: subprocess.Popen[str]) -> str:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output[-5000:]
        assert file_sha256(self.workflow.folder / self.target) == expected
        history = read_json_lines(self.results / "train/history.jsonl")
        assert [line["epoch"] for line in history] == list(range(1, 41))
        assert not list(self.results.rglob("*.part"))
        return output


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    training = Training(tmp_path_factory.mktemp("undisturbed"))
    training.workflow.run(training.raw, training.target, *ONE_THREAD)
    return file_sha256(training.workflow.folder / training.target)


def act(pool: HTCondorPool, action: str) -> None:
    pool.ask(f"s().act(h.JobAction.{action}, 'JobStatus == 2')")


FAULTS: dict[str, Callable[[HTCondorPool], None]] = {
    "removed": lambda pool: act(pool, "Remove"),
    "held": lambda pool: act(pool, "Hold"),
    "evicted": lambda pool: act(pool, "Vacate"),
    "evicted fast": lambda pool: act(pool, "VacateFast"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_that_htcondor_disturbs_ends_right(fault: str, pool: HTCondorPool, undisturbed: str, tmp_path: Path) -> None:
    training = Training(tmp_path)
    process = training.start(*HTCONDOR, **pool.environment)
    training.checkpoint()
    FAULTS[fault](pool)
    done = training.epochs()
    training.ends_as(undisturbed, process)
    log = (training.results / "logs/train.log").read_text()
    assert "goes on after epoch" in log and done >= 3
    pool.ask("s().act(h.JobAction.Remove, 'true')")  # a held job stays in the queue
