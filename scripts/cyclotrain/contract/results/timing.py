"""timing.json: what a model costs. Rule `time_model`."""

from cyclotrain.contract import figures
from cyclotrain.contract.results.base import Figure, Frozen, Result

TIMED_BATCHES = (1, 32, 64, 128, 256, 512, 1024)


class Percentiles(Frozen):
    """Of a latency, in ms."""

    p50: float
    p95: float
    p99: float


class RuntimeTiming(Frozen):
    """What the model costs in one runtime, on one thread of the CPU."""

    runtime: str
    batch_1_latency_ms: Percentiles
    batch_1_quantiles_ms: tuple[float, ...]  # at 0, 1, ... 100 %
    examples_per_second: dict[int, float]  # by batch size
    cold_start_ms: float
    memory_mb: dict[int, float | None]  # by batch size; None where there is no /proc


class Gain(Frozen):
    """What the model takes over what a variant, or another form, takes; above 1 this is better."""

    batch_1_latency: float
    batch_1024_rate: float
    cold_start: float
    size: float


class VariantTiming(RuntimeTiming):
    """A variant in the runtime of this environment."""

    gain: Gain


class FormTiming(VariantTiming):
    """A form of the model for LibTorch, in that of this environment: in Python, and in C++ if it was tried."""

    cpp: RuntimeTiming | None


class PytorchTiming(Frozen):
    """PyTorch, eager, for one example."""

    batch_1_latency_ms: Percentiles
    batch_1_quantiles_ms: tuple[float, ...]


class Timing(Result):
    """timing.json: latency and throughput of the exported model; the first runtime is that of this environment."""

    model_sha256: str
    machine: str
    conditions: str
    runtimes: tuple[RuntimeTiming, ...]
    variants: dict[str, VariantTiming]
    forms: dict[str, FormTiming]
    pytorch: PytorchTiming

    def figures(self) -> dict[str, Figure]:
        """All figures by name, of the runtime of this environment."""
        here = self.runtimes[0]
        by_name = {figures.latency(q): value for q, value in here.batch_1_latency_ms.model_dump().items()}
        by_name |= {figures.throughput(n): rate for n, rate in here.examples_per_second.items()}
        by_name[figures.COLD_START] = here.cold_start_ms
        for kind, variant in {**self.variants, **self.forms}.items():
            by_name |= {figures.gain(kind, name): value for name, value in variant.gain.model_dump().items()}
        return {name: Figure(value=value) for name, value in by_name.items()}
