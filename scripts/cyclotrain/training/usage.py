"""What a training takes of the machine, by epoch, and the batch job that it is."""

import os
import re
import resource
import sys
import time
from pathlib import Path

import torch

from cyclotrain.contract.results import Usage


class Meter:
    """Measures this process from `start` to `read`."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None
        self._wall = self._cpu = 0.0

    def start(self) -> None:
        """Begin an epoch."""
        self._wall, self._cpu = time.monotonic(), time.process_time()
        if self._gpu:
            torch.cuda.reset_peak_memory_stats(self._gpu)

    def read(self) -> Usage:
        """What was taken since `start`."""
        seconds = time.monotonic() - self._wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return Usage(
            cpu_cores=round((time.process_time() - self._cpu) / max(seconds, 1e-9), 2),
            memory_mb=round(peak / 1e6),
            gpu_memory_mb=round(torch.cuda.max_memory_reserved(self._gpu) / 1e6) if self._gpu else None,
            batch_job=batch_job(),
        )


def batch_job() -> str | None:
    """The batch system and the id of the job that this process is in, such as `Slurm 123` or `HTCondor 12.0`; None outside."""
    if slurm := os.environ.get("SLURM_JOB_ID"):
        return f"Slurm {slurm}"
    if (advertisement := os.environ.get("_CONDOR_JOB_AD")) and Path(advertisement).exists():
        numbers = dict(re.findall(r"^(ClusterId|ProcId) = (\d+)$", Path(advertisement).read_text(), re.MULTILINE))
        if len(numbers) == 2:
            return f"HTCondor {numbers['ClusterId']}.{numbers['ProcId']}"
    return None
