"""ONNX Runtime sessions on what this machine has, and the model's answers through them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor

from cyclotrain.batches import Batch

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def session(model: str | Path, threads: int, provider: str = CPU) -> ort.InferenceSession:
    """A session with the given number of threads and one provider.

    Raises RuntimeError if ONNX Runtime fell back to another provider, which it does in silence.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if provider == CUDA:
        ort.preload_dlls()
    made = ort.InferenceSession(str(model), options, providers=[provider])
    if made.get_providers()[0] != provider:
        raise RuntimeError(f"ONNX Runtime cannot use {provider} here; it fell back to {made.get_providers()}")
    return made


def providers() -> list[str]:
    """The execution providers to verify on: the CPU, and CUDA if PyTorch finds a GPU."""
    return [CPU, CUDA] if torch.cuda.is_available() and CUDA in ort.get_available_providers() else [CPU]


def run(made: ort.InferenceSession, branches: Mapping[str, Tensor]) -> npt.NDArray[np.float32]:
    """Probabilities [B, n_classes] of one batch of branches."""
    (output,) = made.run(None, {name: np.ascontiguousarray(value.numpy()) for name, value in branches.items()})
    probabilities: npt.NDArray[np.float32] = output
    return probabilities


def predict(made: ort.InferenceSession, batches: Iterable[Batch]) -> npt.NDArray[np.float32]:
    """Probabilities [n, n_classes] of all examples, in order."""
    return np.concatenate([run(made, batch.branches) for batch in batches])
