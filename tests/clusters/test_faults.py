"""Disturb jobs on a cluster on purpose: each run ends by itself, with the bytes of an undisturbed one.

`make test-clusters` runs all of them, with CYCLOTRAIN_REPEATS=5 each five times; `make test` runs some.
"""

import datetime
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import HTCondorPool, Slurm, wait_until
from sites import APART, HTCONDOR, SLURM, Training, Undisturbed, more, needs_clusters

from support import REPEATS

pytest_plugins = ["sites"]
pytestmark = [*needs_clusters, pytest.mark.parametrize("repeat", REPEATS)]

RUNNING = "JobStatus == 2"


def act(action: str) -> Callable[[HTCondorPool], object]:
    return lambda pool: pool.ask(f"s().act(h.JobAction.{action}, '{RUNNING}')")


def switch_off(pool: HTCondorPool) -> None:
    pool.worker.switch_off()
    pool.worker.switch_on()


# the fault, and what the output says about it
HTCONDOR_FAULTS: dict[str, tuple[Callable[[HTCondorPool], object], str]] = {
    "removed": (act("Remove"), "was removed/aborted"),
    "held": (act("Hold"), "is held: "),
    "evicted": (act("Vacate"), "again: it was evicted"),
    "evicted fast": (act("VacateFast"), "again: it was evicted"),
    "starter killed": (lambda pool: pool.worker.send(signal.SIGKILL, "^condor_starter"), "again: its worker "),
    "node lost": (switch_off, "again: its worker "),
}


@pytest.mark.parametrize("faults", ["removed, node lost", *(pytest.param(fault, marks=more) for fault in HTCONDOR_FAULTS)])
def test_a_training_that_htcondor_disturbs_ends_right(
    faults: str, repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """One fault, or one after another in the same training."""
    expected = undisturbed()
    training = expected.again(tmp_path)
    # seconds that the submit host waits for a lost worker
    training.asks("htcondor", htcondor_submit_job_lease_duration=30)
    process = training.start(*HTCONDOR, **pool.environment)
    for index, fault in enumerate(faults.split(", ")):
        if index:
            wait_until(training.goes_on, 120, "no training went on after the fault before")
        training.checkpoint()
        HTCONDOR_FAULTS[fault][0](pool)
    output = training.ends_as(expected, process)
    for fault in faults.split(", "):
        assert HTCONDOR_FAULTS[fault][1] in output
    assert training.goes_on()


def takes_more_memory(
    undisturbed: Undisturbed, folder: Path, arguments: tuple[str, ...], environment: dict[str, str], **resources: str
) -> str:
    model = {"name": "hungry:Hungry", "options": {"phi": [16, 16], "rho": [16]}}
    expected = undisturbed(model=model)
    training = expected.again(folder)
    training.asks("slurm" if arguments is SLURM else "htcondor", **resources)
    output = training.ends_as(expected, training.start(*arguments, **environment))
    assert training.goes_on()
    return output


@more
def test_a_training_that_takes_more_memory_than_it_asked_for_gets_more(
    repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "tests/clusters")  # the folder of the network, in the project
    arguments = (*HTCONDOR, "--default-resources", "getenv=PATH,HOME,PYTHONPATH")
    output = takes_more_memory(undisturbed, tmp_path, arguments, pool.environment, htcondor_request_mem_mb="1500 * attempt")
    assert "exceeded request_memory" in output


@more
def test_a_training_that_is_over_its_time_gets_more(
    repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed()
    training = expected.again(tmp_path)
    training.asks("htcondor", allowed_job_duration="60 * attempt")
    process = training.start(*HTCONDOR, **pool.environment)
    training.checkpoint()
    pool.worker.send(signal.SIGSTOP, r"scripts/tmp\S*train\.py")  # it hangs
    output = training.ends_as(expected, process)
    assert "is held: The job exceeded allowed job duration of 01:00" in output
    assert training.goes_on()


def killed_and_started_again(expected: Training, folder: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    training = expected.again(folder)
    process = training.start(*arguments, **environment)
    training.checkpoint()
    process.kill()
    process.communicate()
    training.workflow.run(training.raw, "--unlock", *arguments, **environment)
    output = training.ends_as(expected, training.start(*arguments, **environment))
    assert "jobs that no Snakemake waits for are in the queue; they are removed" in output
    assert training.goes_on()


def test_a_snakemake_that_was_killed_takes_its_jobs_out_of_the_queue_when_it_is_started_again(
    repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    killed_and_started_again(undisturbed(), tmp_path, HTCONDOR, pool.environment)


@more
def test_results_on_a_full_disk_are_an_error_and_nothing_half_written_is_taken_for_whole(
    repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed()
    training = expected.again(tmp_path)
    results = training.workflow.folder / "results"
    shutil.copytree(results, pool.disk / tmp_path.name)
    shutil.rmtree(results)
    results.symlink_to(pool.disk / tmp_path.name)
    process = training.start(*HTCONDOR, **pool.environment)
    training.checkpoint()
    pool.fill_disk()
    failed = f"s().history('Iwd == \"{training.workflow.folder}\" && ExitCode != 0', ['ClusterId'], 100)"
    wait_until(lambda: pool.ask(f"print(len({failed}))") != "0", 60, "no job failed")
    pool.free_disk()
    output = training.ends_as(expected, process)
    assert "No space left on device" in output
    assert training.goes_on()


@more
@pytest.mark.parametrize("shared", [True, False])
def test_a_worker_whose_scratch_disk_is_full_is_an_error_and_the_job_is_sent_again(
    shared: bool, repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed()
    training = expected.again(tmp_path)
    worker = pool.worker if shared else pool.apart
    process = training.start(*(HTCONDOR if shared else APART), **(pool.environment if shared else pool.apart_environment))
    if shared:
        training.checkpoint()
    else:
        scratch = worker.view(worker.folder / "execute")
        wait_until(lambda: any(scratch.glob("dir_*/results/test/train/checkpoints/*/last.ckpt")), 120, "no training started")
    worker.fill_scratch()
    failed = f"s().history('Iwd == \"{training.workflow.folder}\" && ExitCode != 0', ['ClusterId'], 100)"
    wait_until(lambda: pool.ask(f"print(len({failed}))") != "0", 60, "no job failed")
    worker.free_scratch()
    output = training.ends_as(expected, process)
    assert "No space left on device" in output
    assert not shared or training.goes_on()  # without, the checkpoints are lost with the worker's folder


@more
def test_files_that_are_seen_late_are_waited_for(
    repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed()
    training = expected.again(tmp_path)
    wrapper = training.workflow.folder / "late.sh"
    wrapper.write_text('#!/bin/sh\n"$@" && mv results/test/train/weights.pt results/test/train/weights.late\n')
    wrapper.chmod(0o755)
    training.asks("htcondor", job_wrapper="late.sh")
    process = training.start(*HTCONDOR, **pool.environment)
    late = training.results / "train/weights.late"
    wait_until(late.exists, 120, "no training ended")
    time.sleep(8)
    late.rename(late.with_suffix(".pt"))
    output = training.ends_as(expected, process)
    assert "Waiting at most 20 seconds for missing files" in output


@pytest.mark.parametrize("hours", ["-1", pytest.param("+1", marks=more)])
def test_a_worker_whose_clock_is_wrong_leaves_nothing_to_be_done_again(
    hours: str, repeat: int, pool: HTCondorPool, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    expected = undisturbed()
    training = expected.again(tmp_path)
    wrapper = training.workflow.folder / "wrong_clock.sh"
    wrapper.write_text(
        "#!/bin/sh\nexport LD_PRELOAD=/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketime.so.1 NO_FAKE_STAT=1\n"
        f'DONT_FAKE_MONOTONIC=1 FAKETIME={hours}h exec "$@"\n'
    )
    wrapper.chmod(0o755)
    training.asks("htcondor", job_wrapper="wrong_clock.sh")
    training.ends_as(expected, training.start(*HTCONDOR, **pool.environment))
    started = (training.results / "logs/train.log").read_text()[: len("2026-11-25 22:30:00")]
    off = datetime.datetime.fromisoformat(started) - datetime.datetime.now()
    assert abs(off - datetime.timedelta(hours=int(hours))) < datetime.timedelta(minutes=30)
    assert "Nothing to be done" in training.workflow.run(training.raw, training.target, "--dry-run").stdout


def cancelled(slurm: Slurm) -> None:
    slurm.ask("scancel", "--me")


def slurm_over_time(slurm: Slurm) -> None:
    slurm.signal_node(signal.SIGSTOP, only="train.py")  # it hangs: Slurm's shortest limit is a minute
    (job,) = slurm.ask("squeue", "--me", "--noheader", "--format=%i").split()
    slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")


def slurm_node_lost(slurm: Slurm) -> None:
    slurm.signal_node(signal.SIGKILL)
    slurm.start_node()


SLURM_FAULTS: dict[str, tuple[Callable[[Slurm], object], str]] = {
    "cancelled": (cancelled, "SLURM status is: 'CANCELLED'"),
    "over its time": (slurm_over_time, "SLURM status is: 'TIMEOUT'"),
    "node lost": (slurm_node_lost, "SLURM status is: 'NODE_FAIL'"),
}


@pytest.mark.parametrize("fault", [f if f == "cancelled" else pytest.param(f, marks=more) for f in SLURM_FAULTS])
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


@more
def test_a_training_that_takes_more_memory_than_slurm_gave_it_gets_more(
    repeat: int, slurm: Slurm, undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "tests/clusters")
    output = takes_more_memory(undisturbed, tmp_path, SLURM, slurm.environment, mem_mb="1500 * attempt")
    assert "Exceeded job memory limit" in output


@more
def test_a_snakemake_that_was_killed_cancels_its_jobs_on_slurm_when_it_is_started_again(
    repeat: int, slurm: Slurm, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    killed_and_started_again(undisturbed(), tmp_path, SLURM, slurm.environment)
