"""What Snakemake leaves on a cluster: jobs that it no longer waits for, and events that HTCondor's executor does not report."""

import errno
import fcntl
import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)
# seconds; a scheduler gives a removed job minutes to end by itself
PATIENCE = 1200.0
_RUNS = Path(".snakemake/cyclotrain/cluster_runs.lock")  # each run on a cluster holds a shared lock on it until it ends
_FOLDER = Path(".snakemake/htcondor")  # HTCondor's executor lets jobs write their output here
_LINES = 60  # of a failed job's output: a traceback, and what Snakemake adds to it


def remove_leftovers(executor: str, folder: Path) -> None:
    """Remove jobs that a Snakemake submitted from `folder` and that none waits for, and wait until they have ended.

    Snakemake leaves them when it is killed, or when it counts a held job as failed. Two jobs would write the same files. Call
    this only while the run waits for no job. The jobs of another run in the folder look the same, so none is removed while there
    is another run: the last one to end, or the next to start alone, removes them. Raises TimeoutError if the jobs do not end.
    """
    if executor not in _QUEUES:
        return
    with _alone(folder) as is_alone:
        if is_alone:
            _remove_jobs(_QUEUES[executor], folder)
        else:
            _log.info("another run in this folder has jobs in the queue, so jobs that no Snakemake waits for stay there")


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other run uses a cluster from this folder; if so, none begins to before the block ends.

    After it, other runs see this one until its process ends.
    """
    runs = _open_runs(folder)
    is_alone = True
    try:
        fcntl.flock(runs, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        is_alone = False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        _log.warning("the file system of %s has no locks, so start only one run on a cluster from it at a time", folder)
        yield True
        return
    try:
        yield is_alone
    finally:
        fcntl.flock(runs, fcntl.LOCK_SH)


@cache
def _open_runs(folder: Path) -> IO[str]:
    """The file of the lock, which the cache keeps open until the process ends."""
    path = folder / _RUNS
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a")


def _remove_jobs(queue: "_Queue", folder: Path) -> None:
    if not (jobs := queue.jobs(folder)):
        return
    _log.warning("jobs that no Snakemake waits for are in the queue; they are removed: %s", ", ".join(jobs))
    queue.remove(jobs)
    deadline = time.monotonic() + PATIENCE
    while jobs := queue.jobs(folder):
        if time.monotonic() > deadline:
            raise TimeoutError(f"jobs {', '.join(jobs)} were removed {PATIENCE:.0f} s ago and are still in the queue")
        time.sleep(1)


def report_htcondor_events(*, since: float, is_shared: bool) -> None:
    """Log what HTCondor knows and its executor does not report: jobs that it started again since a time, and why.

    Without a shared file system also the end of what each failed job wrote, as its log is not seen here.
    """
    path = _FOLDER / "snakemake-rules.log"
    if not path.exists():
        return
    import htcondor2

    kinds = htcondor2.JobEventType
    reasons = {
        kinds.JOB_EVICTED: "it was evicted",
        kinds.SHADOW_EXCEPTION: "its worker disconnected",
        kinds.JOB_RECONNECT_FAILED: "its worker was lost",
    }
    for event in htcondor2.JobEventLog(str(path)).events(stop_after=0):
        if event.timestamp < since:
            continue
        when = time.strftime("%H:%M:%S", time.localtime(event.timestamp))
        if event.type in reasons:
            _log.warning("HTCondor started job %d again: %s at %s", event.cluster, reasons[event.type], when)
        elif event.type == kinds.JOB_TERMINATED and event.get("ReturnValue") and not is_shared:
            for output in _FOLDER.glob(f"*/*_{event.cluster}.err"):
                end = "\n".join(output.read_text(errors="replace").splitlines()[-_LINES:])
                _log.warning("HTCondor's job %d failed at %s; the end of %s:\n%s", event.cluster, when, output, end)


def _htcondor_jobs(folder: Path) -> list[str]:
    import htcondor2

    attributes = ["ClusterId", "ProcId", "UserLog"]
    jobs = htcondor2.Schedd().query(f'Iwd == "{folder}"', projection=attributes)
    return [f"{job['ClusterId']}.{job['ProcId']}" for job in jobs if f"{_FOLDER}/" in str(job.get("UserLog"))]


def _remove_from_htcondor(jobs: list[str]) -> None:
    import htcondor2

    htcondor2.Schedd().act(htcondor2.JobAction.Remove, jobs, reason="no Snakemake waits for it")


def _slurm_jobs(folder: Path) -> list[str]:
    command = ["squeue", "--me", "--noheader", "--format=%i|%k|%Z"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    jobs = [line.split("|", 2) for line in lines]
    return [number for number, comment, workdir in jobs if workdir == str(folder) and comment.startswith("rule_")]


def _remove_from_slurm(jobs: list[str]) -> None:
    subprocess.run(["scancel", *jobs], check=True)


@dataclass(frozen=True)
class _Queue:
    """How to list the jobs that were submitted from a folder, and to remove jobs."""

    jobs: Callable[[Path], list[str]]
    remove: Callable[[list[str]], None]


_QUEUES = {
    "htcondor": _Queue(_htcondor_jobs, _remove_from_htcondor),
    "slurm": _Queue(_slurm_jobs, _remove_from_slurm),
}
