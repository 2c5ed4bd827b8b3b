"""What is known of a Gaussian toy comes out of training, export and evaluation."""

import math
from itertools import pairwise

import numpy as np
import pytest

from cyclotrain.contract.results import MODEL, Evaluation, Regression
from support.toys import skim_and_assemble, write_tree
from support.trained import Trained

N = 40_000
NOISE = 0.3  # of the target, whose signal has a standard deviation of 1


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A quantity of 10^4 times the other's scale, beside it, and its quantiles; the noise is Gaussian."""
    folder = tmp_path_factory.mktemp("gaussian")
    random = np.random.default_rng(7)
    x, z = random.normal(size=(2, N)).astype(np.float32)
    columns = {
        "run": np.ones(N, np.uint32),
        "luminosityBlock": np.ones(N, np.uint32),
        "event": np.arange(N, dtype=np.uint64),
        "x": x,
        "z": z,
        "energy": 1e4 * (5 + x + NOISE * random.normal(size=N)),
        "fraction": z + NOISE * random.normal(size=N),
    }
    quantiles = {"loss": "quantile", "quantiles": [0.16, 0.5, 0.84]}
    raw = {
        "run": "test",
        "samples": {"toy": {"files": [write_tree(folder / "toy.root", columns)], "tree": "Jets"}},
        "regression": {
            "e": {"target": "energy", "loss": "mse", "against": ["x"]},
            "f": {"target": "fraction", "against": ["z"]},
            "e_range": {"target": "energy", "response": "ratio", **quantiles},
        },
        "split": {"train": 0.65, "validation": 0.1, "test": 0.25},
        "inputs": {"event": {"features": ["x", "z"]}},
        "model": {"name": "mlp", "options": {"hidden": [32, 32]}},
        "training": {"epochs": 12, "batch_size": 512, "learning_rate": 0.01},
    }
    return Trained(*skim_and_assemble(raw, folder), folder / "out")


@pytest.fixture(scope="module")
def evaluation(toy: Trained) -> Evaluation:
    return toy.evaluate()[0]


@pytest.fixture(scope="module")
def measured(evaluation: Evaluation) -> dict[str, Regression]:
    return evaluation.regression[MODEL]


@pytest.mark.parametrize(("name", "scale"), [("e", 1e4), ("f", 1.0)])
def test_bias_is_within_its_error_and_the_resolution_is_the_noise(
    measured: dict[str, Regression], name: str, scale: float
) -> None:
    """For two quantities of one model, whose scales differ by 10^4."""
    bias, resolution = measured[name].bias, measured[name].resolution
    assert bias and bias.value is not None and bias.uncertainty
    assert bias.uncertainty == pytest.approx(scale * NOISE * math.sqrt(math.pi / 2 / measured[name].examples), rel=0.3)
    assert abs(bias.value) < 2 * bias.uncertainty
    assert resolution and resolution.value == pytest.approx(scale * NOISE, rel=0.03)


def test_quantiles_cover_what_they_say(measured: dict[str, Regression]) -> None:
    for coverage in measured["e_range"].coverage:
        assert coverage.share.value == pytest.approx(coverage.quantile, abs=0.01)
    ratio = measured["e_range"].bias
    assert ratio and ratio.value is not None and abs(ratio.value) < 0.005


def test_bias_and_resolution_are_measured_in_bins_of_a_variable(measured: dict[str, Regression]) -> None:
    bins = measured["e"].against["x"]
    assert len(bins) == 10 and sum(part.examples for part in bins) == measured["e"].examples
    assert all(low.high == high.low for low, high in pairwise(bins))
    for part in bins:
        assert part.bias.value is not None and part.bias.uncertainty
        assert abs(part.bias.value) < 4 * part.bias.uncertainty + 500
        assert part.resolution.value == pytest.approx(3000, rel=0.2)


def test_the_figures_have_names(evaluation: Evaluation) -> None:
    figures = evaluation.figures()
    assert {"bias.e", "resolution.e", "bias.f", "coverage.e_range.at_0.16", "coverage.e_range.at_0.84"} <= set(figures)
    assert not [name for name in figures if name.startswith(("auc", "rejection"))]


def test_examples_without_the_quantity_are_not_measured(trained_to_regress: Trained) -> None:
    evaluation, curves = trained_to_regress.evaluate()
    regression = evaluation.regression[MODEL]
    assert 0 < regression["true_mass"].examples < regression["far"].examples == evaluation.test_examples
    assert evaluation.performance and evaluation.confusion
    assert {histogram.quantity for histogram in curves.responses} == {"true_mass", "far", "ratio"}
    assert all(sum(histogram.values) == pytest.approx(1, abs=0.1) for histogram in curves.responses)
