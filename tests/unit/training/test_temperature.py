"""One temperature makes overconfident probabilities frequencies, and changes neither the order nor the largest class."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import MODEL
from cyclotrain.metrics.calibration import calibration
from cyclotrain.networks.registry import SavedWeights
from cyclotrain.report.card import About, card
from cyclotrain.training.temperature import fitted_temperature
from support.toys import raw_config, skim_and_assemble, toys
from support.trained import Trained


def sample(seed: int, temperature: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits of three classes that are too large by a factor, and the classes."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (n, 3))
    label = (softmax(logits, 1).cumsum(1) < random.random((n, 1))).sum(1)
    return logits * temperature, label


@given(seed=st.integers(0, 1000), truth=st.floats(0.2, 5), n=st.integers(100, 400))
def test_it_is_where_the_weighted_cross_entropy_is_lowest(seed: int, truth: float, n: int) -> None:
    logits, label = sample(seed, truth, n)
    weight = np.random.default_rng(seed).uniform(0.1, 3, n)

    def loss(inverse: np.ndarray) -> float:
        return -float(weight @ log_softmax(logits * inverse[0], 1)[np.arange(n), label])

    expected = 1 / minimize(loss, [1 / truth], bounds=[(0.01, 100)], tol=1e-14).x[0]
    assert fitted_temperature(logits, label, weight=weight) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_probabilities_that_are_too_sure_become_frequencies(temperature: float) -> None:
    logits, label = sample(1, temperature)
    unit = np.ones(len(label))
    fitted = fitted_temperature(*sample(2, temperature), weight=unit)
    assert fitted == pytest.approx(temperature, rel=0.03)
    before, after = (calibration(softmax(logits / t, 1)[:, 0], label == 0, weight=unit) for t in (1.0, fitted))
    assert after.error.value < after.if_calibrated + 3 * after.error.uncertainty
    assert temperature == 1 or before.error.value > before.if_calibrated + 10 * before.error.uncertainty


def test_a_validation_split_without_weight_is_named() -> None:
    with pytest.raises(ValueError, match=r"training.calibrate: the sum of weights of the validation split is not positive"):
        fitted_temperature(np.zeros((2, 2)), np.zeros(2, np.int64), weight=np.zeros(2))


@pytest.fixture(scope="module")
def overtrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """Models that learn a small sample by heart, with and without a temperature. Both have the same weights."""
    folder = tmp_path_factory.mktemp("overtrained")
    models, files = {}, toys(folder, 700)
    for calibrate in ("none", "temperature"):
        inner = folder / calibrate
        inner.mkdir()
        # two epochs at a large rate after which the validation loss is lowest, and already too sure
        training = {"epochs": 30, "patience": 30, "batch_size": 64, "learning_rate": 0.01, "calibrate": calibrate}
        raw = raw_config(files, training=training, model={"name": "deep_sets", "options": {"phi": [64, 64], "rho": [64]}})
        raw["inputs"] = {"pf": raw["inputs"]["pf"]}
        models[calibrate] = Trained(*skim_and_assemble(raw, inner), inner / "out")
    return models


def test_the_exported_graph_divides_the_logits_and_keeps_the_order(overtrained: dict[str, Trained]) -> None:
    before, after = (one.predictions()["test"].whole() for one in overtrained.values())
    temperature = SavedWeights.read(overtrained["temperature"].weights).temperature
    assert temperature != pytest.approx(1, abs=0.01)
    logits = np.log(before.probabilities(MODEL).astype(np.float64))
    np.testing.assert_allclose(after.probabilities(MODEL), softmax(logits / temperature, 1), atol=1e-5)
    np.testing.assert_array_equal(*(scored.probabilities(MODEL).argmax(1) for scored in (before, after)))
    areas = [one.evaluate()[0].figures()["auc.background"].value for one in overtrained.values()]
    assert areas[0] == pytest.approx(areas[1], abs=1e-4)  # where probabilities round to the same number in one of them only


def test_parity_holds_and_the_metadata_and_the_card_tell_the_temperature(overtrained: dict[str, Trained]) -> None:
    trained = overtrained["temperature"]
    temperature = SavedWeights.read(trained.weights).temperature
    assert trained.run().verification.passed
    assert model_metadata(onnx.load(trained.onnx))["temperature"] == temperature
    assert "temperature" not in model_metadata(onnx.load(overtrained["none"].onnx))
    assert SavedWeights.read(overtrained["none"].weights).temperature is None
    page = card(trained.run(), About(None, None, {"epochs": 3}), {}).markdown
    assert f"the graph divides the logits by a temperature of {temperature:.4f}" in page


def test_weights_of_an_earlier_version_have_no_temperature(trained: Trained, tmp_path: Path) -> None:
    fields = torch.load(trained.weights, weights_only=True)
    del fields["temperature"]
    torch.save(fields, tmp_path / "weights.pt")
    assert SavedWeights.read(tmp_path / "weights.pt").temperature is None
