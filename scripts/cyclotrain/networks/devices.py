"""The GPUs that this process may use."""

import os

import torch


def gpus() -> int:
    """The number of GPUs that this process may use; PyTorch numbers them from 0.

    In a Slurm job, only the GPUs allocated to it: without `ConstrainDevices`, a job also sees the GPUs of other jobs, and only
    CUDA_VISIBLE_DEVICES names its own. HTCondor hides GPUs that are not allocated to the job.
    """
    if "SLURM_JOB_ID" in os.environ and "CUDA_VISIBLE_DEVICES" not in os.environ:
        return 0
    return torch.cuda.device_count()
