"""Latency and throughput of the exported model, and of PyTorch beside it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from cyclotrain import config
from cyclotrain.batches import Batches
from cyclotrain.contract import Contract
from cyclotrain.dataset import read_split
from cyclotrain.models import Probabilities
from cyclotrain.provenance import file_sha256, write_json
from cyclotrain.runtime import run, session
from cyclotrain.train import load_model

_EXAMPLES, _WARM_UP = 500, 20


def benchmark(
    contract: Contract,
    model: config.Model,
    weights: str | Path,
    exported: str | Path,
    shards: Sequence[str],
    result: str | Path,
) -> None:
    """Time single test examples, one thread, as an event loop has them, and batches of 1024; CPU."""
    torch.set_num_threads(1)
    reference = Probabilities(load_model(contract, model, weights)).eval()
    made = session(exported, threads=1)
    test = Batches(read_split(shards, contract.layout, "test"), contract.layout, 1)
    rows = torch.linspace(0, test.n - 1, _EXAMPLES).long()  # over all samples, so over the real lengths
    singles = [test.gather(row[None]).branches for row in rows]
    large = test.gather(torch.arange(1024) % test.n).branches
    with torch.inference_mode():
        onnx_seconds = _seconds(lambda b: run(made, b), singles)
        torch_seconds = _seconds(lambda b: reference(b), singles)
        throughput = 1024 / float(np.median(_seconds(lambda b: run(made, b), [large] * 10, warm_up=2)))
    write_json(
        result,
        {
            "model_sha256": file_sha256(exported),
            "runtime": f"onnxruntime {ort.__version__}, CPU, 1 thread",
            "batch_1_latency_ms": {f"p{q}": float(np.percentile(onnx_seconds, q) * 1e3) for q in (50, 95, 99)},
            "pytorch_batch_1_latency_ms": {f"p{q}": float(np.percentile(torch_seconds, q) * 1e3) for q in (50, 95, 99)},
            "batch_1024_examples_per_second": throughput,
        },
    )


def _seconds(call: Callable[[Any], Any], arguments: Sequence[Any], warm_up: int = _WARM_UP) -> npt.NDArray[np.float64]:
    for argument in arguments[:warm_up]:
        call(argument)
    seconds = []
    for argument in arguments:
        start = time.perf_counter()
        call(argument)
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)
