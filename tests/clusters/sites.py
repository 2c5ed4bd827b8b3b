"""What the tests of clusters share: one pool and one Slurm a session, and a training to be disturbed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
import yaml
from servers import HTCondorPool, Slurm, wait_until

from cyclotrain.core.files import file_sha256, read_json_lines
from support.toys import raw_config, toys
from support.workflow import Workflow, made_once

needs_clusters = [pytest.mark.clusters, pytest.mark.skipif(bool(servers.missing()), reason=f"a cluster: {servers.missing()}")]
no_gpu = pytest.mark.skipif(bool(servers.GPUS), reason="there is a GPU here")
a_gpu = pytest.mark.skipif(not servers.GPUS, reason="no GPU here")
more = pytest.mark.skipif("CYCLOTRAIN_ALL_CLUSTERS" not in os.environ, reason="one of many: `make test-clusters` runs all")

# more often than a real cluster would like, and with the two cores of the test's pool
QUICK = ("--seconds-between-status-checks", "1", "--cores", "2", "--latency-wait", "20")
HTCONDOR = ("--workflow-profile", "htcondor", *QUICK, "--htcondor-held-timeout", "0")
APART = ("--workflow-profile", "htcondor-noshared", *QUICK, "--htcondor-held-timeout", "0")
SLURM = ("--workflow-profile", "slurm", *QUICK, "--slurm-no-account", "--slurm-status-command", "squeue")
# two threads would wait for each other on a busy machine
ONE_THREAD = ("--set-threads", "train=1")
ENVIRONMENT = Path(sys.prefix).resolve()


def software() -> list[Path]:
    """What every machine has at the same path: this environment, and the folder of Pythons that its own is from."""
    return [ENVIRONMENT, Path(sys.prefix), Path(sys.base_prefix).resolve().parent]


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTCondorPool]:
    root = servers.htcondor_root(Path("/var/tmp/cyclotrain-htcondor"))
    pool = HTCondorPool(root, tmp_path_factory.mktemp("pool"), software(), [tmp_path_factory.getbasetemp()])
    yield pool
    pool.stop()


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    # the daemons still write their state while the folder is removed
    with tempfile.TemporaryDirectory(prefix="cyclotrain-slurm-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # munged wants its socket where everybody can go
        slurm = Slurm(Path(folder))
        yield slurm
        slurm.stop()


@pytest.fixture(scope="session")
def at_home(second_clone: Path) -> str:
    """The SHA-256 of the demo's model from a local run."""
    return file_sha256(second_clone)


def finished(workflow: Workflow, at_home: str) -> None:
    """The demo is complete, and its model is the local run's."""
    results = workflow.folder / "results/demo"
    assert file_sha256(results / "model/model.onnx") == at_home
    assert (results / "summary.txt").exists() and (results / "deploy/SHA256SUMS").exists()


class Training:
    """A training of about ten seconds (80 ms an epoch) and its export, to be disturbed."""

    def __init__(self, folder: Path, epochs: int = 120, **changes: Any) -> None:
        exists = (folder / "project").exists()  # then its files keep their times, and what is done stays done
        self.workflow = Workflow(folder / "project", copy=not exists)
        self._epochs, self._changes = epochs, changes
        training = {"epochs": epochs, "patience": epochs, "batch_size": 32}
        files = {name: f"{name}.root" for name in ("background", "signal")} if exists else toys(self.workflow.folder)
        self.raw = raw_config(files, training=training, **changes)
        for sample in self.raw["samples"].values():
            sample["files"] = [Path(path).name for path in sample["files"]]  # in the project, which is copied
        self.results = self.workflow.folder / "results/test"
        self.target = "results/test/model/model.onnx"

    def again(self, folder: Path) -> "Training":
        """The same in another folder, where everything before the training is done."""
        other = Training(folder, self._epochs, **self._changes)
        not_done = shutil.ignore_patterns("train", "train.log", "model.onnx")
        shutil.copytree(self.workflow.folder, other.workflow.folder, ignore=not_done, dirs_exist_ok=True)
        return other

    def asks(self, profile: str, **resources: str | int) -> None:
        """Change what a profile asks for the training; `--set-resources` would replace those of all rules."""
        path = self.workflow.folder / f"profiles/{profile}/profile.v9+.yaml"
        entries = yaml.safe_load(path.read_text())
        entries["set-resources"]["train"] |= resources
        path.write_text(yaml.safe_dump(entries))

    def model(self) -> str:
        return file_sha256(self.workflow.folder / self.target)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return self.workflow.start(self.raw, self.target, *arguments, *ONE_THREAD, **environment)

    def without_its_gpu(self, *arguments: str, **environment: str) -> str:
        """The output of a training that must have a GPU where PyTorch finds none."""
        self.raw["training"]["accelerator"] = "gpu"
        process = self.start(*arguments, "--retries", "0", **environment)
        output, _ = process.communicate(timeout=300)
        assert process.returncode
        return output

    def device(self, accelerator: str, *arguments: str, **environment: str) -> str:
        """The device that it trained on."""
        self.raw["training"]["accelerator"] = accelerator
        output, _ = (process := self.start(*arguments, **environment)).communicate(timeout=120)
        assert process.returncode == 0, output[-5000:]
        return str(read_json_lines(self.results / "train/history.jsonl")[-1]["device"])

    def epochs(self) -> int:
        history = self.results / "train/history.jsonl"
        return len(history.read_text().splitlines()) if history.exists() else 0

    def checkpoint(self) -> None:
        """Wait until some more epochs are done."""
        before = self.epochs()
        wait_until(lambda: self.epochs() >= before + 3, 120, "no training started")

    def ends_as(self, undisturbed: "Training", process: subprocess.Popen[str]) -> str:
        """What Snakemake says of a run that ends with the model of an undisturbed one: in the terminal, and in its own log."""
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output[-5000:]
        logs = (self.workflow.folder / ".snakemake/log").glob("*.log")
        output += max(logs, key=lambda path: path.stat().st_mtime_ns).read_text()
        assert self.model() == undisturbed.model()
        history = read_json_lines(self.results / "train/history.jsonl")
        assert [line["epoch"] for line in history] == list(range(1, self._epochs + 1))
        assert not list(self.results.rglob("*.part"))
        return output

    def goes_on(self) -> bool:
        """Whether the last try went on from an earlier one's checkpoint."""
        log = self.results / "logs/train.log"
        return log.exists() and "an earlier training was interrupted; resuming after epoch" in log.read_text()


Undisturbed = Callable[..., Training]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A local training with a number of epochs and other changes of the config; the same one runs only once."""

    def local_training(**changes: Any) -> Training:
        def run(folder: Path) -> None:
            training = Training(folder, **changes)
            training.workflow.run(training.raw, training.target, *ONE_THREAD)

        key = json.dumps(changes, sort_keys=True)
        name = f"undisturbed-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        return Training(made_once(tmp_path_factory, name, run), **changes)

    return local_training
