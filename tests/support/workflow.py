"""Snakemake in a clone of this project."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from support import REPOSITORY
from support.real_files import real_file


def small_demo() -> dict[str, Any]:
    """The demo with few jets, of few constituents, for one target; HIGGS is verified for all of them."""
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    for sample in raw["samples"].values():
        sample["simulate"] |= {"jets": 1000, "files": 2}
    raw["inputs"]["constituents"]["max_length"] = 16
    raw["training"] |= {"epochs": 2}
    raw["gates"] = {"auc.qcd": ">= 0.8"}
    raw["export"]["targets"] = ["CMSSW_15_0_X"]
    return raw


def ten_thousand_files(project: Path) -> dict[str, Any]:
    """Links to one real file, and a config for them, whose skims are 128 jobs."""
    one = project / "one.root"
    shutil.copy(real_file("uproot-HZZ-lz4.root"), one)
    (project / "many").mkdir()
    for i in range(10_000):
        os.link(one, project / f"many/{i:05d}.root")
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/examples/dimuon.yaml").read_text())
    raw["samples"]["data"]["files"] = ["many/*.root"]
    raw["job_size"] = 0.04
    return raw


class Workflow:
    """A copy of this project's files elsewhere, as a clean clone has them, and snakemake in it."""

    def __init__(self, folder: Path, copy: bool = True) -> None:
        self.folder = folder
        if not copy:
            return
        folder.mkdir(parents=True, exist_ok=True)
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
        for name in files:
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, folder / name)

    def write_config(self, raw: dict[str, Any]) -> None:
        (self.folder / "test.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))

    def start(self, raw: dict[str, Any], *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start snakemake with the config."""
        self.write_config(raw)
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "test.yaml"]
        return subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**self._environment(), **environment},
        )  # fmt: skip

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the documentation, with the environment active; both streams are in `stdout`."""
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self._environment(),
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        return {**inherited, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(
        self, raw: dict[str, Any], *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake with the config, on two cores unless a profile is given; its output, both streams, is in `stdout`."""
        where = () if "--workflow-profile" in arguments else ("--cores", "2")
        process = self.start(raw, *where, *arguments, **environment)
        output, _ = process.communicate()
        done = subprocess.CompletedProcess(process.args, process.returncode, output)
        if check and done.returncode:
            pytest.fail(f"snakemake ended with {done.returncode}:\n{done.stdout[-6000:]}")
        return done


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, once for all processes of a pytest run."""
    root = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    folder, complete = root / name, root / f"{name}.complete"
    with FileLock(root / f"{name}.lock"):
        if not complete.exists():
            make(folder)
            complete.touch()
    return folder
