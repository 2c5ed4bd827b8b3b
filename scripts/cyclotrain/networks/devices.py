"""The GPUs that this process may use."""

import os

import torch


def gpus() -> int:
    """How many GPUs there are for this process, which PyTorch numbers from 0.

    In a job of Slurm's these are the ones that it was given: without `ConstrainDevices` Slurm shows a job those of others too,
    and says which are its own by CUDA_VISIBLE_DEVICES. HTCondor hides what a job was not given.
    """
    if "SLURM_JOB_ID" in os.environ and "CUDA_VISIBLE_DEVICES" not in os.environ:
        return 0
    return torch.cuda.device_count()
