"""Which form of a model the report advises, and how it draws all of them."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from cyclotrain.contract.results import FormTiming, Gain, Percentiles, PytorchTiming, RuntimeTiming, Timing
from cyclotrain.report.forms import advice
from cyclotrain.report.plots.timing import latency

LATENCY = Percentiles(p50=0.1, p95=0.2, p99=0.3)
HERE = RuntimeTiming(
    runtime="onnxruntime 1.31.1", batch_1_latency_ms=LATENCY, batch_1_quantiles_ms=(0.1,), examples_per_second={1024: 9000.0},
    cold_start_ms=1.0, memory_mb={1: 1.0},
)  # fmt: skip


def timing(**gains: tuple[float, float]) -> Timing:
    """Forms with their gains in latency and rate."""
    forms = {
        name: FormTiming(
            **HERE.model_dump(), cpp=None, gain=Gain(batch_1_latency=latency, batch_1024_rate=rate, cold_start=1, size=1)
        )
        for name, (latency, rate) in gains.items()
    }
    eager = PytorchTiming(batch_1_latency_ms=LATENCY, batch_1_quantiles_ms=(0.1,))
    return Timing(
        model_sha256="", machine="", conditions="", runtimes=(HERE,), variants={}, forms=forms, pytorch=eager
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ({"torchscript": (1.05, 0.5)}, "Take `model.onnx` in ONNX Runtime: no other form is more than 10 % faster."),
        (
            {"torchscript": (1.2, 0.5), "aot_inductor_v3": (3.1, 0.9)},
            "For one example at a time (0.1 ms, 3.1 times as fast as `model.onnx`) take the form compiled for x86-64-v3, in "
            "LibTorch, for batches of 1024 (9,000 examples/s) `model.onnx` in ONNX Runtime.",
        ),
        (
            {"torchscript": (1.2, 0.5), "aot_inductor_v3": (3.1, 1.5)},
            "Take the form compiled for x86-64-v3, in LibTorch, for one example at a time (0.1 ms, 3.1 times as fast as "
            "`model.onnx`) and for batches of 1024 (9,000 examples/s, 1.5 times as fast as `model.onnx`).",
        ),
    ],
)
def test_the_fastest_form_is_advised_if_it_is_worth_it(gains: dict[str, tuple[float, float]], words: str) -> None:
    assert advice(timing(**gains)) == words


def test_a_model_of_one_form_needs_no_advice() -> None:
    assert advice(timing()) is None


def test_seven_runtimes_and_forms_have_lines_that_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There are six colours."""
    forms = timing(torchscript=(1, 1), aot_inductor_v2=(1, 1), aot_inductor_v3=(1, 1))
    drawn = plt.Axes.plot
    styles: list[tuple[Any, ...]] = []

    def plot(self: Any, *values: Any, **style: Any) -> Any:
        lines = drawn(self, *values, **style)
        styles.extend((self, line.get_color(), line.get_linestyle()) for line in lines)
        return lines

    monkeypatch.setattr(plt.Axes, "plot", plot)
    list(latency(forms.model_copy(update={"runtimes": (HERE,) * 4}), [tmp_path / "latency.png"]))
    assert len(styles) == 8 + 7 and len(set(styles)) == len(styles)
