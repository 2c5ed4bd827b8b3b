"""All that is changed inside Snakemake and its executors, where they have no setting for it; each patch has its reason.

The patches were written for the versions in WRITTEN_FOR. A test fails when envs/requirements.in pins another one: then see
whether each patch is still needed and still right, and change the version here. A run with another version says so at its start.
"""

import functools
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from importlib import metadata
from typing import Any

_log = logging.getLogger(__name__)
WRITTEN_FOR: Mapping[str, str] = {
    "snakemake": "9.27.1",
    "snakemake-executor-plugin-htcondor": "0.3.0",
    "snakemake-executor-plugin-slurm": "2.8.0",
}
_TICK = 0.001  # seconds; a file system may keep times less precisely than it reports them


def patch_snakemake() -> None:
    """Apply all patches. Call it while the Snakefile is read: an executor begins to check jobs before `onstart`."""
    from snakemake.dag import DAG

    tolerate_wrong_clocks(DAG)
    # Snakemake has imported each executor that is installed
    if htcondor := sys.modules.get("snakemake_executor_plugin_htcondor"):
        check_only_when_there_are_jobs(htcondor.Executor)
    if slurm := sys.modules.get("snakemake_executor_plugin_slurm"):
        check_at_a_fixed_interval(slurm.Executor)


def warn_of_other_versions() -> None:
    """Log a warning for each package whose installed version is not the one that the patches were written for."""
    for package, version in WRITTEN_FOR.items():
        try:
            installed = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        if installed != version:
            message = "%s %s is installed, and %s was written for %s: jobs on a cluster may be handled differently"
            _log.warning(message, package, installed, __name__, version)


def tolerate_wrong_clocks(dag: type[Any]) -> None:
    """Make Snakemake accept an output that looks older than its input, and give it the input's time.

    Snakemake counts the job as failed, and deletes its outputs. But a job's outputs look too old wherever a worker whose clock
    is wrong writes the times of files, as on Lustre, although it did all its work. Snakemake has no setting for it:
    https://github.com/snakemake/snakemake/issues/3261
    """

    async def check_output_mtime(self: Any, job: Any, outputs: list[Any]) -> None:
        times = {path: await _modified(path) for path in job.input if await path.exists_local()}
        newest = max(times, key=times.__getitem__, default=None)
        for output in outputs:
            if newest and await output.exists_local() and (behind := times[newest] - await _modified(output)) > 0:
                output.touch((times[newest] + _TICK,) * 2)
                message = "clocks differ: '%s' looks %.1f s older than its input '%s'; it is given the input's time"
                _log.warning(message, output, behind, newest)

    dag.check_output_mtime = check_output_mtime


async def _modified(path: Any) -> float:
    return float((await path.mtime_uncached(skip_storage=True)).local())


def check_only_when_there_are_jobs(executor: type[Any]) -> None:
    """Make HTCondor's executor check its jobs only when it has some.

    It starts a thread for that before its own `__post_init__`. If an earlier run left a log of events, the thread may fail with
    an AttributeError, and the run would wait for ever, as nothing checks its jobs:
    https://github.com/htcondor/snakemake-executor-plugin-htcondor/issues/60
    """
    check = executor.check_active_jobs

    @functools.wraps(check)
    async def check_active_jobs(self: Any, active_jobs: list[Any]) -> AsyncIterator[Any]:
        if active_jobs:
            async for job in check(self, active_jobs):
                yield job

    executor.check_active_jobs = check_active_jobs


def check_at_a_fixed_interval(executor: type[Any]) -> None:
    """Make Slurm's executor check its jobs every `seconds-between-status-checks`, as Snakemake's other executors do.

    By itself it ignores that setting, and waits ten seconds longer after each check at which no job has ended, up to 180:
    minutes are lost after a long job. Its own setting, `slurm-init-seconds-before-status-checks`, changes only the first wait:
    https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/319
    """

    def interval(self: Any) -> int:
        return int(self.workflow.remote_execution_settings.seconds_between_status_checks)

    executor.next_seconds_between_status_checks = property(interval, lambda self, ignored: None)
