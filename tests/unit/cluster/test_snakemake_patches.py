"""What is changed inside Snakemake is still needed, and was written for the versions that are pinned."""

import asyncio
import inspect
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake.api
import snakemake_executor_plugin_htcondor as htcondor
import snakemake_executor_plugin_slurm as slurm
from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from cyclotrain.cluster.snakemake_patches import WRITTEN_FOR, patch_snakemake, warn_of_other_versions
from support import REPOSITORY

INTERVAL = "next_seconds_between_status_checks"
DAG = snakemake.dag.DAG
CHECK_MTIME = DAG.check_output_mtime  # Snakemake's own


@pytest.fixture(autouse=True)
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snakemake with its patches, during a test."""
    monkeypatch.setattr(DAG, "check_output_mtime", CHECK_MTIME)
    monkeypatch.setattr(htcondor.Executor, "check_active_jobs", htcondor.Executor.check_active_jobs)
    monkeypatch.setattr(slurm.Executor, INTERVAL, getattr(RemoteExecutor, INTERVAL))
    patch_snakemake()


def test_the_patches_were_written_for_the_versions_that_are_pinned() -> None:
    text = (REPOSITORY / "envs/requirements.in").read_text()
    pinned = dict(re.findall(r"^([a-z-]+)==(\S+)", text, re.MULTILINE))
    assert {package: pinned[package] for package in WRITTEN_FOR} == WRITTEN_FOR, "see whether each patch is still needed"


def test_another_version_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_other_versions()
    assert not caplog.messages
    monkeypatch.setattr(metadata, "version", lambda package: "99.0")
    warn_of_other_versions()
    assert [message.split(",")[0] for message in caplog.messages] == [f"{package} 99.0 is installed" for package in WRITTEN_FOR]


class File:
    """A local file as Snakemake's DAG sees it."""

    def __init__(self, path: Path, modified: float) -> None:
        self.path = path
        path.touch()
        self.touch((modified, modified))

    def __str__(self) -> str:
        return str(self.path)

    def touch(self, times: tuple[float, float]) -> None:
        os.utime(self.path, times)

    async def exists_local(self) -> bool:
        return self.path.exists()

    async def mtime_uncached(self, skip_storage: bool) -> SimpleNamespace:
        return SimpleNamespace(local=lambda: self.path.stat().st_mtime)


def test_an_output_that_looks_older_than_its_input_is_given_its_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = File(tmp_path / "old", 1000.0), File(tmp_path / "new", 5000.0)
    outputs = [File(tmp_path / "slow", 1400.0), File(tmp_path / "right", 6000.0)]
    job = SimpleNamespace(input=[old, new], rule=None)
    with pytest.raises(WorkflowError, match="has older modification time"):  # else the patch can go
        asyncio.run(CHECK_MTIME(None, job, outputs))
    asyncio.run(DAG.check_output_mtime(None, job, outputs))
    assert [output.path.stat().st_mtime for output in outputs] == [pytest.approx(5000.001, abs=1e-4), 6000.0]
    (message,) = caplog.messages
    assert message.startswith(f"clocks differ: '{outputs[0]}' looks 3600.0 s older than its input '{new}'")


def test_htcondors_executor_does_not_check_jobs_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_none(check: Callable[..., AsyncIterator[Any]]) -> None:
        executor = htcondor.Executor.__new__(htcondor.Executor)
        executor.workflow = SimpleNamespace(executor_settings=htcondor.ExecutorSettings())
        executor.logger = logging.getLogger(__name__)

        async def to_the_end() -> None:
            async for _ in check(executor, []):
                pass

        asyncio.run(to_the_end())

    monkeypatch.chdir(tmp_path)
    log = tmp_path / htcondor.ExecutorSettings().jobdir / "snakemake-rules.log"  # of an earlier run
    log.parent.mkdir(parents=True)
    log.write_text("000 (104.000.000) 2026-11-26 07:57:57 Job submitted from host: <127.0.0.1:42483>\n...\n")
    check_none(htcondor.Executor.check_active_jobs)
    with pytest.raises(AttributeError):  # else the patch can go
        check_none(inspect.unwrap(htcondor.Executor.check_active_jobs))


def test_slurms_executor_checks_at_a_fixed_interval() -> None:
    def interval_after_a_check(executor_class: type[slurm.Executor]) -> int:
        executor = executor_class.__new__(executor_class)
        every_7_seconds = SimpleNamespace(seconds_between_status_checks=7)
        executor.workflow = SimpleNamespace(remote_execution_settings=every_7_seconds, executor_settings=slurm.ExecutorSettings())
        executor.logger = logging.getLogger(__name__)

        async def check_none() -> None:
            async for _ in executor.check_active_jobs([]):
                pass

        asyncio.run(check_none())
        return int(getattr(executor, INTERVAL))

    class Unpatched(slurm.Executor):
        next_seconds_between_status_checks = RemoteExecutor.next_seconds_between_status_checks

    assert interval_after_a_check(slurm.Executor) == 7
    assert interval_after_a_check(Unpatched) != 7  # else the patch can go
