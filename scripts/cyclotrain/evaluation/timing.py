"""Latency and throughput of the exported model in the runtimes that it is for, and of PyTorch beside it."""

import logging
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import METADATA_PREFIX
from cyclotrain.contract.results import (
    AOT_INDUCTOR,
    TIMED_BATCHES,
    FormTiming,
    Gain,
    Percentiles,
    PytorchTiming,
    RuntimeTiming,
    Timing,
    VariantTiming,
)
from cyclotrain.core.files import file_sha256
from cyclotrain.data.batches import Batch, Batches
from cyclotrain.data.shards import read_split
from cyclotrain.networks.registry import Outputs, load_model
from cyclotrain.runtimes.environments import installed
from cyclotrain.runtimes.instruction_sets import level_of, missing
from cyclotrain.runtimes.libtorch import LibTorchProcess
from cyclotrain.runtimes.sessions import CPU, Configuration, RuntimeProcess, Worker

_AS_DEPLOYED = Configuration(CPU, "enable_all", 1)
_EXAMPLES, _WARM_UP, _REPEATS = 500, 20, 10
_LIBTORCH = Worker("LibTorch", ("-m", "cyclotrain.runtimes.torch_worker", METADATA_PREFIX))
_log = logging.getLogger(__name__)

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Exported:
    """The exported model, the weights that it was made of, its variants by kind, and its forms for LibTorch by name."""

    onnx: str | Path
    weights: str | Path
    variants: Mapping[str, str | Path]
    forms: Mapping[str, str | Path]


def time_model(
    contract: Contract,
    model: config.ModelConfig,
    exported: Exported,
    *,
    shards: Sequence[str],
    environments: Sequence[str | Path],
) -> Timing:
    """Measure what the model costs on one thread of this machine's CPU.

    In each ONNX Runtime, that of this environment first, in a process of its own: the latency of single test examples, as
    an event loop has them, over the real lengths; the rate in batches of 32 to 1024; cold start, from the file on disk to
    the first answer; the memory that the model adds to the process after single examples, and after batches of 1024.
    The variants are timed in the runtime of this environment, with what they gain over the model; the forms for LibTorch in that
    of this environment, in Python and, if it is among `environments`, in C++. A form that this machine's processor cannot run is
    left out. `environments`: what runtimes.environments wrote.
    """
    torch.set_num_threads(1)
    test = Batches(read_split(shards, contract, "test"), contract.layout, max(TIMED_BATCHES))
    spread = torch.linspace(0, test.n - 1, _EXAMPLES).long()  # over all samples, so over the real lengths
    singles = [test.gather(row[None]) for row in spread]
    mixed = torch.randperm(test.n, generator=torch.Generator().manual_seed(0))
    large = {n: test.gather(mixed[torch.arange(n) % test.n]) for n in TIMED_BATCHES if n > 1}
    environments_here = installed(environments)  # of ONNX Runtime, and of LibTorch
    pythons = [sys.executable, *(environment["python"] for environment in environments_here if "python" in environment)]
    runtimes = [_measure(RuntimeProcess(python, exported.onnx, [_AS_DEPLOYED]), singles, large) for python in pythons]

    def gain(timing: RuntimeTiming, path: str | Path) -> Gain:
        return _gain(timing, runtimes[0], size=Path(exported.onnx).stat().st_size / Path(path).stat().st_size)

    variants = {}
    for kind, path in exported.variants.items():
        timing = _measure(RuntimeProcess(sys.executable, path, [_AS_DEPLOYED]), singles, large)
        variants[kind] = VariantTiming(**timing.model_dump(), gain=gain(timing, path))
    own = torch.__version__.partition("+")[0]
    workers = [one["worker"] for one in environments_here if one["version"] == own and "worker" in one]
    forms = {}
    for name, path in exported.forms.items():
        if name in AOT_INDUCTOR and missing(level_of(name)):
            continue
        timing = _measure(RuntimeProcess(sys.executable, path, [_AS_DEPLOYED], worker=_LIBTORCH), singles, large)
        in_cpp = [LibTorchProcess(worker, path, [_AS_DEPLOYED], prefix=METADATA_PREFIX) for worker in workers]
        cpp = [_measure(process, singles, large) for process in in_cpp]
        forms[name] = FormTiming(**timing.model_dump(), gain=gain(timing, path), cpp=next(iter(cpp), None))
    eager = _eager(Outputs(load_model(contract, model, exported.weights)).eval(), singles)
    here = runtimes[0]
    _log.info(
        "%.3g ms for one example, %.0f examples/s in batches of %d, in %d runtimes",
        here.batch_1_latency_ms.p50, here.examples_per_second[max(TIMED_BATCHES)], max(TIMED_BATCHES), len(runtimes),
    )  # fmt: skip
    return Timing(
        model_sha256=file_sha256(exported.onnx),
        machine=_processor(),
        conditions="CPU, 1 thread",
        runtimes=tuple(runtimes),
        variants=variants,
        forms=forms,
        pytorch=PytorchTiming(batch_1_latency_ms=_percentiles(eager), batch_1_quantiles_ms=_quantiles(eager)),
    )


def _measure(opened: RuntimeProcess | LibTorchProcess, singles: Sequence[Batch], large: Mapping[int, Batch]) -> RuntimeTiming:
    """Time one file in one runtime."""
    with opened as process:

        def run(batch: Batch) -> float:
            process.ask(batch.branches, [_AS_DEPLOYED])
            process.answers()
            return process.seconds[0]

        before = process.memory
        cold_start = process.load_seconds + run(singles[0])
        for batch in singles[:_WARM_UP]:
            run(batch)
        seconds = np.array([run(batch) for batch in singles])
        small = process.memory
        rates = {n: n / float(np.median([run(batch) for _ in range(_REPEATS)])) for n, batch in large.items()}
        peaks = {1: small, max(TIMED_BATCHES): process.memory}
    return RuntimeTiming(
        runtime=process.runtime,
        batch_1_latency_ms=_percentiles(seconds),
        batch_1_quantiles_ms=_quantiles(seconds),
        examples_per_second={1: len(seconds) / float(seconds.sum()), **rates},
        cold_start_ms=cold_start * 1e3,
        memory_mb={n: after - before if after and before else None for n, after in peaks.items()},
    )


def _gain(variant: RuntimeTiming, model: RuntimeTiming, *, size: float) -> Gain:
    """What the model takes over what the variant takes; `size`: that of the files."""
    return Gain(
        batch_1_latency=model.batch_1_latency_ms.p50 / variant.batch_1_latency_ms.p50,
        batch_1024_rate=variant.examples_per_second[1024] / model.examples_per_second[1024],
        cold_start=model.cold_start_ms / variant.cold_start_ms,
        size=size,
    )


def _eager(model: Outputs, singles: Sequence[Batch]) -> Seconds:
    seconds = []
    with torch.inference_mode():
        for batch in [*singles[:_WARM_UP], *singles]:
            start = time.perf_counter()
            model(batch.branches)
            seconds.append(time.perf_counter() - start)
    return np.array(seconds[_WARM_UP:])


def _percentiles(seconds: Seconds) -> Percentiles:
    return Percentiles(**{f"p{q}": float(np.percentile(seconds, q) * 1e3) for q in (50, 95, 99)})


def _quantiles(seconds: Seconds) -> tuple[float, ...]:
    return tuple((np.percentile(seconds, np.arange(101)) * 1e3).tolist())


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
