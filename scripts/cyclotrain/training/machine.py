"""The device that trains, and what it can do."""

import os

import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from cyclotrain.config import TrainingConfig
from cyclotrain.networks.devices import gpus


def rank() -> int:
    """The number of this process among those that train together, counted from 0."""
    return LightningEnvironment().local_rank()


def training_device(training: TrainingConfig) -> torch.device:
    """The device of this process; raises RuntimeError if the machine lacks what the config asks for."""
    n_gpus = gpus()
    if training.accelerator == "gpu" and n_gpus < training.devices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # set by the batch system
        raise RuntimeError(
            f"training.accelerator is 'gpu' and training.devices is {training.devices}, but PyTorch finds {n_gpus or 'no GPU'}"
            f"{' that Slurm gave to this job' * (n_gpus < torch.cuda.device_count())}"
            f"{f' (CUDA_VISIBLE_DEVICES={visible})' if visible else ''}; use 'auto' or 'cpu', or a machine with enough GPUs"
        )
    device = torch.device("cuda", rank()) if training.accelerator != "cpu" and n_gpus else torch.device("cpu")
    _check_precision(training.precision, device)
    return device


def _check_precision(precision: str, device: torch.device) -> None:
    if precision == "float16" and device.type == "cpu":
        raise RuntimeError("training.precision is 'float16', which needs a GPU, and PyTorch finds none; use 'float32'")
    if precision == "bfloat16" and not has_bfloat16(device):
        raise RuntimeError(
            f"training.precision is 'bfloat16', but {device_name(device)} has no instructions for it, and PyTorch would compute "
            "it slower than float32; use 'float32', or on a GPU 'float16'"
        )


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself: a GPU from Ampere on; a CPU with AVX512_BF16, AMX or Arm's BF16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(has_it for name, has_it in torch.cpu.get_capabilities().items() if name.endswith("bf16"))


def device_name(device: torch.device, devices: int = 1) -> str:
    """`CPU` or the name of the GPU, with the number of devices if there are several."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return name if devices == 1 else f"{devices} x {name}"
