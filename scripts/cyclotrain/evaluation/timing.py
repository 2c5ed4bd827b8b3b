"""Latency and throughput of the exported model in the runtimes that it is for, and of PyTorch beside it."""

import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.files import file_sha256, write_json
from cyclotrain.data.batches import Batch, Batches
from cyclotrain.data.shards import read_split
from cyclotrain.networks.registry import Probabilities, load_model
from cyclotrain.report import plots
from cyclotrain.runtimes.environments import installed
from cyclotrain.runtimes.sessions import CPU, Configuration, RuntimeProcess

BATCH_SIZES = (1, 32, 64, 128, 256, 512, 1024)
_AS_DEPLOYED = Configuration(CPU, "enable_all", 1)
_EXAMPLES, _WARM_UP, _REPEATS = 500, 20, 10

Seconds = npt.NDArray[np.float64]


def benchmark(
    contract: Contract,
    model: config.ModelConfig,
    weights: str | Path,
    exported: str | Path,
    variants: Mapping[str, str | Path],
    shards: Sequence[str],
    environments: Sequence[str | Path],
    result: str | Path,
    plot: str | Path,
) -> None:
    """Write `result` (JSON) and `plot` (PNG): what the model costs on one thread of this machine's CPU.

    In each ONNX Runtime, that of this environment first, in a process of its own: the latency of single test examples, as
    an event loop has them, over the real lengths; the rate in batches of 32 to 1024; cold start, from the file on disk to
    the first answer; the memory that the model adds to the process after single examples, and after batches of 1024.
    The `variants`, in this environment's runtime, with what they gain.
    """
    torch.set_num_threads(1)
    test = Batches(read_split(shards, contract, "test"), contract.layout, max(BATCH_SIZES))
    spread = torch.linspace(0, test.n - 1, _EXAMPLES).long()  # over all samples, so over the real lengths
    singles = [test.gather(row[None]) for row in spread]
    mixed = torch.randperm(test.n, generator=torch.Generator().manual_seed(0))
    large = {n: test.gather(mixed[torch.arange(n) % test.n]) for n in BATCH_SIZES if n > 1}
    found = installed(environments)
    seconds: dict[str, Seconds] = {}
    runtimes = []
    for python in [sys.executable, *(e["python"] for e in found if "python" in e)]:
        with RuntimeProcess(python, exported, [_AS_DEPLOYED]) as made:
            line, of_singles = _measured(made, singles, large)
        runtimes.append(line)
        seconds[line["runtime"]] = of_singles
    compared = {}
    for kind, path in variants.items():
        with RuntimeProcess(sys.executable, path, [_AS_DEPLOYED]) as made:
            line, _ = _measured(made, singles, large)
        compared[kind] = {**line, "gain": _gain(line, Path(path), runtimes[0], Path(exported))}
    seconds["PyTorch, eager"] = _eager(Probabilities(load_model(contract, model, weights)).eval(), singles)
    content = {
        "model_sha256": file_sha256(exported),
        "machine": _processor(),
        "conditions": "CPU, 1 thread",
        "runtimes": runtimes,
        "variants": compared,
        "pytorch_batch_1_latency_ms": _percentiles(seconds["PyTorch, eager"]),
    }
    write_json(result, content)
    Path(plot).parent.mkdir(parents=True, exist_ok=True)
    plots.latency(seconds, content, Path(plot))


def _measured(made: RuntimeProcess, singles: Sequence[Batch], large: dict[int, Batch]) -> tuple[dict[str, Any], Seconds]:
    def run(batch: Batch) -> float:
        made.ask(batch.branches, [_AS_DEPLOYED])
        made.answers()
        return made.seconds[0]

    before = made.memory
    cold_start = made.load_seconds + run(singles[0])
    for batch in singles[:_WARM_UP]:
        run(batch)
    seconds = np.array([run(batch) for batch in singles])
    small = made.memory
    rate = {n: n / float(np.median([run(batch) for _ in range(_REPEATS)])) for n, batch in large.items()}
    line = {
        "runtime": f"onnxruntime {made.version}",
        "batch_1_latency_ms": _percentiles(seconds),
        "examples_per_second": {1: len(seconds) / float(seconds.sum()), **rate},
        "cold_start_ms": cold_start * 1e3,
        "memory_mb": {n: after - before if after and before else None for n, after in ((1, small), (1024, made.memory))},
    }
    return line, seconds


def _gain(variant: Mapping[str, Any], path: Path, model: Mapping[str, Any], exported: Path) -> dict[str, float]:
    """What the model takes over what the variant takes."""
    return {
        "batch_1_latency": model["batch_1_latency_ms"]["p50"] / variant["batch_1_latency_ms"]["p50"],
        "batch_1024_rate": variant["examples_per_second"][1024] / model["examples_per_second"][1024],
        "cold_start": model["cold_start_ms"] / variant["cold_start_ms"],
        "size": exported.stat().st_size / path.stat().st_size,
    }


def _eager(model: Probabilities, singles: Sequence[Batch]) -> Seconds:
    seconds = []
    with torch.inference_mode():
        for batch in [*singles[:_WARM_UP], *singles]:
            start = time.perf_counter()
            model(batch.branches)
            seconds.append(time.perf_counter() - start)
    return np.array(seconds[_WARM_UP:])


def _percentiles(seconds: Seconds) -> dict[str, float]:
    return {f"p{q}": float(np.percentile(seconds, q) * 1e3) for q in (50, 95, 99)}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
