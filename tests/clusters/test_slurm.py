"""The whole demo at test size on a real Slurm, and what its jobs ask for. make test-clusters"""

from pathlib import Path

from servers import Slurm
from sites import SLURM, Training, a_gpu, finished, needs_clusters, no_gpu

from cyclotrain.cluster.resources import RESOURCES
from support.workflow import Workflow, small_demo

pytest_plugins = ["sites"]
pytestmark = needs_clusters


def jobs_of(workflow: Workflow, slurm: Slurm) -> dict[str, list[str]]:
    """Memory, time limit, CPUs and GPUs of a workflow's jobs in Slurm, by rule."""
    names = "WorkDir:300,Comment:200,MinMemory:20,TimeLimit:20,NumCPUs:20,tres-per-job:20"
    jobs = [line.split() for line in slurm.ask("squeue", "--me", "--states=all", "--noheader", f"--Format={names}").splitlines()]
    return {comment.removeprefix("rule_"): fields for folder, comment, *fields in jobs if folder == str(workflow.folder)}


def minutes(limit: str) -> int:
    """`1-02:03:00` or `2:03:00` or `03:00` in minutes."""
    days, _, clock = limit.rpartition("-")
    hours, minutes, _ = ["0", *clock.split(":")][-3:]
    return (int(days or 0) * 24 + int(hours)) * 60 + int(minutes)


def test_the_demo_on_slurm(slurm: Slurm, at_home: str, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    workflow.run(small_demo(), *SLURM, **slurm.environment)
    finished(workflow, at_home)
    jobs = jobs_of(workflow, slurm)
    for rule in ("assemble", "baseline", "train"):
        memory, limit, cpus, gpus = jobs[rule]
        assert memory == f"{RESOURCES[rule].mem_mb}M"
        assert minutes(limit) == RESOURCES[rule].runtime
        assert 1 <= int(cpus) <= 2
        assert gpus == "N/A"
    memory, limit, *_ = next(jobs[name] for name in jobs if name.startswith("model_"))
    assert int(memory.removesuffix("M")) >= RESOURCES["verify"].mem_mb
    assert minutes(limit) >= RESOURCES["export"].runtime + RESOURCES["verify"].runtime


def test_slurm_says_which_gpus_are_a_jobs_own(slurm: Slurm) -> None:
    """`devices.gpus` relies on it, as PyTorch sees the GPUs of others too."""
    assert "CUDA_VISIBLE_DEVICES=0\n" in slurm.ask("srun", "--gpus=1", "env")
    assert "CUDA_VISIBLE_DEVICES" not in slurm.ask("srun", "env")


@no_gpu
def test_a_training_that_must_have_a_gpu_asks_slurm_for_it_and_says_what_it_was_shown_when_pytorch_sees_none(
    slurm: Slurm, tmp_path: Path
) -> None:
    training = Training(tmp_path)
    output = training.without_its_gpu(*SLURM, **slurm.environment)
    assert jobs_of(training.workflow, slurm)["train"][3].endswith("gpu:1")  # "gres:" or "gres/" before it
    assert "training.accelerator is 'gpu' and training.devices is 1, but PyTorch finds no GPU (CUDA_VISIBLE_DEVICES=0)" in output


@a_gpu
def test_a_training_that_must_have_a_gpu_trains_on_slurms_and_one_that_need_not_leaves_it(slurm: Slurm, tmp_path: Path) -> None:
    must, may = Training(tmp_path / "must"), Training(tmp_path / "may")
    assert must.device("gpu", *SLURM, **slurm.environment) != "CPU"
    assert may.device("auto", *SLURM, **slurm.environment) == "CPU"
    assert jobs_of(must.workflow, slurm)["train"][3].endswith("gpu:1") and jobs_of(may.workflow, slurm)["train"][3] == "N/A"
