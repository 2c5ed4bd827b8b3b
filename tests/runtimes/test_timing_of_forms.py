"""What each form of a model costs, in Python and in C++, and which one the report advises."""

from importlib import metadata
from pathlib import Path

import pytest

from cyclotrain.contract.results import AOT_INDUCTOR, TIMED_BATCHES, Timing
from cyclotrain.evaluation.timing import Exported, time_model
from cyclotrain.export.to_torch import export_torchscript
from cyclotrain.runtimes.environments import install_libtorch
from support.trained import Trained

pytestmark = pytest.mark.runtimes


@pytest.fixture(scope="module")
def timing(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Timing:
    folder = tmp_path_factory.mktemp("forms")
    export_torchscript(trained.model, folder / "model.pt")
    install_libtorch(metadata.version("torch").partition("+")[0], folder=folder / "libtorch", result=folder / "libtorch.json")
    forms: dict[str, str | Path] = {"torchscript": folder / "model.pt"}
    forms |= {name: trained.compiled(name) for name in AOT_INDUCTOR}
    exported = Exported(trained.onnx, trained.weights, {}, forms)
    return time_model(
        trained.contract, trained.config.model, exported, shards=trained.shards, environments=[folder / "libtorch.json"]
    )


def test_each_form_is_timed_in_python_and_in_cpp(timing: Timing) -> None:
    assert set(timing.forms) == {"torchscript", *AOT_INDUCTOR}
    for form in timing.forms.values():
        assert form.cpp and form.cpp.runtime == form.runtime == f"libtorch {metadata.version('torch').partition('+')[0]}"
        for measured in (form, form.cpp):
            latency = measured.batch_1_latency_ms
            assert 0 < latency.p50 <= latency.p95 <= latency.p99 < 1000
            assert tuple(measured.examples_per_second) == TIMED_BATCHES
            assert measured.cold_start_ms > latency.p50
            assert all(memory is not None and 0 <= memory < 2000 for memory in measured.memory_mb.values())


def test_gains_of_forms_are_figures(timing: Timing) -> None:
    figures = timing.figures()
    for name, form in timing.forms.items():
        expected = timing.runtimes[0].batch_1_latency_ms.p50 / form.batch_1_latency_ms.p50
        assert figures[f"gain.{name}.batch_1_latency"].value == pytest.approx(expected)
