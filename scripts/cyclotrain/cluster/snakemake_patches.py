"""What Snakemake and its executors leave undone on a cluster: to ask as often as told and not before there are jobs, to bear
clocks that differ, to remove jobs that no Snakemake waits for, and a word on those that failed or were started again.
"""

import functools
import logging
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
# a scheduler gives a job minutes to end by itself
PATIENCE = 1200.0
_FOLDER = Path(".snakemake/htcondor")  # where its executor lets jobs write
_TICK = 0.001  # seconds; file systems keep times less precisely than they tell them
_LINES = 60  # of a failed job's output: a traceback, and what Snakemake says after it


def ask_as_told(executor: type[Any]) -> None:
    """Have an executor's class ask for the states of its jobs every `seconds-between-status-checks`, as Snakemake promises.

    Slurm's sets a time of its own instead, which grows by ten seconds, up to three minutes, as long as no job ends.
    """

    def told(self: Any) -> int:
        return int(self.workflow.remote_execution_settings.seconds_between_status_checks)

    executor.next_seconds_between_status_checks = property(told, lambda self, own: None)


def ask_for_jobs_alone(executor: type[Any]) -> None:
    """Have an executor's class look at its jobs when there are some.

    HTCondor's begins to, in a thread, before it is all made. If an earlier run's log is there, the thread may fail for it, and
    the run would wait for ever for jobs at which nothing looks.
    """
    check = executor.check_active_jobs

    @functools.wraps(check)
    async def check_active_jobs(self: Any, active_jobs: list[Any]) -> AsyncIterator[Any]:
        if active_jobs:
            async for job in check(self, active_jobs):
                yield job

    executor.check_active_jobs = check_active_jobs


def bear_wrong_clocks(dag: type[Any]) -> None:
    """Have Snakemake's class for DAGs give a file that is older than what it was made of the time of that, and say so.

    Where a worker writes a file's time by its own clock, as on Lustre, a wrong one makes outputs look older than inputs.
    Snakemake would then count a job that has done all its work as failed, and delete what it wrote.
    """

    async def check_output_mtime(self: Any, job: Any, outputs: list[Any]) -> None:
        made_of = {path: await _modified(path) for path in job.input if await path.exists_local()}
        newest = max(made_of, key=made_of.__getitem__, default=None)
        for output in outputs:
            if newest and await output.exists_local() and (behind := made_of[newest] - await _modified(output)) > 0:
                output.touch((made_of[newest] + _TICK,) * 2)
                says = "clocks differ: '%s' was written %.1f s before '%s', of which it was made; it is given the time of that"
                _log.warning(says, output, behind, newest)

    dag.check_output_mtime = check_output_mtime


async def _modified(path: Any) -> float:
    return float((await path.mtime_uncached(skip_storage=True)).local())


def remove_leftovers(executor: str, folder: Path) -> None:
    """Remove jobs submitted from `folder` that no Snakemake waits for, of one that was killed or held, and see them end.

    Two jobs would write the same files otherwise. Call it while no job is waited for: Snakemake's lock keeps others out of
    the folder. Raises TimeoutError if they do not end.
    """
    if executor not in _QUEUES:
        return
    jobs, end = _QUEUES[executor]
    if not (left := jobs(folder)):
        return
    _log.warning("jobs that no Snakemake waits for are in the queue, and are removed: %s", ", ".join(left))
    end(left)
    deadline = time.monotonic() + PATIENCE
    while left := jobs(folder):
        if time.monotonic() > deadline:
            raise TimeoutError(f"jobs {', '.join(left)} were removed {PATIENCE:.0f} s ago and are still in the queue")
        time.sleep(1)


def say_events(executor: str, since: float, is_shared: bool) -> None:
    """Say what HTCondor knows and its executor does not tell, from a time on.

    Which jobs it started again; and, if the files that jobs write are not seen here, what those that failed wrote themselves.
    """
    log = _FOLDER / "snakemake-rules.log"
    if executor != "htcondor" or not log.exists():
        return
    import htcondor2

    kinds = htcondor2.JobEventType
    says = {
        kinds.JOB_EVICTED: "it was evicted",
        kinds.SHADOW_EXCEPTION: "its worker broke off",
        kinds.JOB_RECONNECT_FAILED: "its worker was lost",
    }
    for event in htcondor2.JobEventLog(str(log)).events(stop_after=0):
        if event.timestamp < since:
            continue
        when = time.strftime("%H:%M:%S", time.localtime(event.timestamp))
        if event.type in says:
            _log.warning("HTCondor started job %d again: %s at %s", event.cluster, says[event.type], when)
        elif event.type == kinds.JOB_TERMINATED and event.get("ReturnValue") and not is_shared:
            for path in _FOLDER.glob(f"*/*_{event.cluster}.err"):
                end = "\n".join(path.read_text(errors="replace").splitlines()[-_LINES:])
                _log.warning("HTCondor's job %d failed at %s; the end of %s:\n%s", event.cluster, when, path, end)


def _htcondor_jobs(folder: Path) -> list[str]:
    import htcondor2

    words = ["ClusterId", "ProcId", "UserLog"]
    found = htcondor2.Schedd().query(f'Iwd == "{folder}"', projection=words)
    return [f"{job['ClusterId']}.{job['ProcId']}" for job in found if f"{_FOLDER}/" in str(job.get("UserLog"))]


def _htcondor_end(jobs: list[str]) -> None:
    import htcondor2

    htcondor2.Schedd().act(htcondor2.JobAction.Remove, jobs, reason="no Snakemake waits for it")


def _slurm_jobs(folder: Path) -> list[str]:
    lines = subprocess.run(["squeue", "--me", "--noheader", "--format=%i|%k|%Z"], check=True, capture_output=True, text=True)
    jobs = [line.split("|", 2) for line in lines.stdout.splitlines()]
    return [number for number, comment, where in jobs if where == str(folder) and comment.startswith("rule_")]


def _slurm_end(jobs: list[str]) -> None:
    subprocess.run(["scancel", *jobs], check=True)


_QUEUES: dict[str, tuple[Callable[[Path], list[str]], Callable[[list[str]], None]]] = {
    "htcondor": (_htcondor_jobs, _htcondor_end),
    "slurm": (_slurm_jobs, _slurm_end),
}
