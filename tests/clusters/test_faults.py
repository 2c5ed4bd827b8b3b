"""What happens to jobs on a cluster, done on purpose: each run ends by itself, with the bytes of an undisturbed one.

make test-clusters; CYCLOTRAIN_FAULT_REPEATS=5 does each five times.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import HTCondorPool, Slurm
from sites import HTCONDOR, SLURM, Training, needs_clusters

pytest_plugins = ["sites"]
repeats = range(1, 1 + int(os.environ.get("CYCLOTRAIN_FAULT_REPEATS", "1")))
pytestmark = [*needs_clusters, pytest.mark.parametrize("repeat", repeats)]

Undisturbed = Callable[..., Training]
RUNNING = "JobStatus == 2"


def act(action: str) -> Callable[[HTCondorPool], object]:
    return lambda pool: pool.ask(f"s().act(h.JobAction.{action}, '{RUNNING}')")


def switch_off(pool: HTCondorPool) -> None:
    pool.worker.switch_off()
    pool.worker.switch_on()


# what is done, and what the output says of it
HTCONDOR_FAULTS: dict[str, tuple[Callable[[HTCondorPool], object], str]] = {
    "removed": (act("Remove"), "was removed/aborted"),
    "held": (act("Hold"), "is held: "),
    "evicted": (act("Vacate"), "again: it was evicted"),
    "evicted fast": (act("VacateFast"), "again: it was evicted"),
    "starter killed": (lambda pool: pool.worker.kill("condor_starter"), "again: its worker "),
    "node lost": (switch_off, "again: its worker "),
}


@pytest.mark.parametrize("fault", HTCONDOR_FAULTS)
def test_a_training_that_htcondor_disturbs_ends_right(
    fault: str, repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    disturb, says = HTCONDOR_FAULTS[fault]
    expected = undisturbed()
    training = expected.again(tmp_path)
    # the submit host waits that long for a worker that is lost
    training.asks("htcondor", htcondor_submit_job_lease_duration=30)
    process = training.start(*HTCONDOR, **pool.environment)
    training.checkpoint()
    disturb(pool)
    output = training.ends_as(expected, process)
    assert says in output
    assert training.goes_on()


def test_a_snakemake_that_was_killed_takes_its_jobs_out_of_the_queue_when_it_is_started_again(
    repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed(epochs=120)
    training = expected.again(tmp_path)
    process = training.start(*HTCONDOR, **pool.environment)
    training.checkpoint()
    process.kill()
    process.communicate()
    training.workflow.run(training.raw, "--unlock", *HTCONDOR, **pool.environment)
    output = training.ends_as(expected, training.start(*HTCONDOR, **pool.environment))
    assert "jobs that no Snakemake waits for are in the queue, and are removed" in output
    assert training.goes_on()


def cancelled(slurm: Slurm) -> None:
    slurm.ask("scancel", "--me")


SLURM_FAULTS: dict[str, tuple[Callable[[Slurm], object], str]] = {
    "cancelled": (cancelled, "SLURM status is: 'CANCELLED'"),
}


@pytest.mark.parametrize("fault", SLURM_FAULTS)
def test_a_training_that_slurm_disturbs_ends_right(
    fault: str, repeat: int, slurm: Slurm, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    disturb, says = SLURM_FAULTS[fault]
    expected = undisturbed()
    training = expected.again(tmp_path)
    process = training.start(*SLURM, **slurm.environment)
    training.checkpoint()
    disturb(slurm)
    output = training.ends_as(expected, process)
    assert says in output
    assert training.goes_on()


def test_a_snakemake_that_was_killed_cancels_its_jobs_on_slurm_when_it_is_started_again(
    repeat: int, slurm: Slurm, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed(epochs=120)
    training = expected.again(tmp_path)
    process = training.start(*SLURM, **slurm.environment)
    training.checkpoint()
    process.kill()
    process.communicate()
    training.workflow.run(training.raw, "--unlock", *SLURM, **slurm.environment)
    output = training.ends_as(expected, training.start(*SLURM, **slurm.environment))
    assert "jobs that no Snakemake waits for are in the queue, and are removed" in output
    assert training.goes_on()
