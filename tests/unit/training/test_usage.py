"""What a training takes of the machine."""

import time
from pathlib import Path

import pytest
import torch

from cyclotrain.contract.results import History
from cyclotrain.training.usage import Meter, batch_job
from support.trained import Trained


def test_a_meter_reads_the_cores_that_computed_and_the_memory_of_the_process() -> None:
    meter = Meter(torch.device("cpu"))
    meter.start()
    time.sleep(0.3)
    idle = meter.read()
    assert idle.cpu_cores < 0.5 and idle.gpu_memory_mb is None
    block = torch.ones(100_000_000)  # 400 MB
    meter.start()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        block[:1000].sum()
    busy = meter.read()
    assert busy.cpu_cores > idle.cpu_cores and busy.memory_mb >= 400


def test_each_epoch_of_a_training_has_its_usage(trained: Trained) -> None:
    for epoch in History.read(trained.folder / "history.jsonl").epochs:
        assert epoch.usage and epoch.usage.cpu_cores > 0 and epoch.usage.memory_mb > 100


def test_a_batch_job_is_known_by_what_its_batch_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "_CONDOR_JOB_AD"):
        monkeypatch.delenv(name, raising=False)
    assert batch_job() is None
    (tmp_path / ".job.ad").write_text('Args = "ProcId = 7"\nClusterId = 12\nOwner = "me"\nProcId = 3\n')
    monkeypatch.setenv("_CONDOR_JOB_AD", str(tmp_path / ".job.ad"))
    assert batch_job() == "HTCondor 12.3"
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert batch_job() == "Slurm 4711"
