"""What Snakemake leaves on a cluster: jobs that it no longer waits for, and events that HTCondor's executor does not report."""

import logging
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)
# seconds; a scheduler gives a removed job minutes to end by itself
PATIENCE = 1200.0
_FOLDER = Path(".snakemake/htcondor")  # HTCondor's executor lets jobs write their output here
_LINES = 60  # of a failed job's output: a traceback, and what Snakemake adds to it


def remove_leftovers(executor: str, folder: Path) -> None:
    """Remove jobs that a Snakemake submitted from `folder` and that none waits for, and wait until they have ended.

    Snakemake leaves them when it is killed, or when it counts a held job as failed. Two jobs would write the same files. Call
    this only while the run waits for no job: Snakemake's lock keeps other runs out of the folder. Raises TimeoutError if the
    jobs do not end.
    """
    if executor not in _QUEUES:
        return
    queue = _QUEUES[executor]
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
