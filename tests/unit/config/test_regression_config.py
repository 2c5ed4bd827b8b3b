"""What `regression:` refuses, each with its reason."""

from typing import Any

import pytest

from cyclotrain.config import ConfigError, load
from support.toys import raw_config, with_regression, without_classes


def toy_config(**changes: Any) -> dict[str, Any]:
    return {**with_regression(raw_config({"background": "b.root", "signal": "s.root"})), **changes}


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        ({"loss": "hubber"}, "'hubber' is not one of mse, huber, log_cosh, quantile; did you mean 'huber'?"),
        ({"loss": "quantile"}, "regression.mass: 'loss: quantile' and 'quantiles' go together"),
        ({"quantiles": [0.5]}, "regression.mass: 'loss: quantile' and 'quantiles' go together"),
        ({"loss": "quantile", "quantiles": [0.5, 0.16]}, "regression.mass.quantiles: give each quantile once, in rising order"),
        ({"loss": "quantile", "quantiles": [0.5, 0.5]}, "regression.mass.quantiles: give each quantile once, in rising order"),
        ({"loss": "quantile", "quantiles": [0.5, 1]}, "regression.mass.quantiles: 1 is not between 0 and 1"),
        ({"loss": "quantile", "quantiles": [16, 50]}, "regression.mass.quantiles: 16 is not between 0 and 1"),
        ({"loss": "quantile", "quantiles": [i / 101 for i in range(1, 101)]}, "quantiles: these are 100; give 99 at most"),
        ({"loss": "quantile", "quantiles": [0.1234567891, 0.1234567892]}, "two quantiles are the same"),
        ({"loss": "quantile", "quantiles": [0.1], "against": ["x"]}, "regression.mass: 'against' is of the median"),
        ({"classes": ["signl"]}, "regression.mass.classes: 'signl' is not one of the classes; did you mean 'signal'?"),
        ({"samples": ["ttbar"]}, "regression.mass.samples: 'ttbar' is not one of the samples; there are: background, signal"),
        ({"classes": ["signal"], "samples": ["background"]}, "regression.mass: no sample has it"),
        ({"target": "jet_mass +"}, "regression.mass.target: syntax error"),
        ({"weight": 0}, "regression.mass.weight: input should be greater than 0"),
    ],
)  # fmt: skip
def test_a_quantity_that_makes_no_sense_is_refused(quantity: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as failure:
        load(toy_config(regression={"mass": {"target": "jet_mass", **quantity}}))
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jet_mass", "regression.jet_mass: inputs.jet uses a branch of this name"),
        ("pf", "regression.pf: a set of inputs has this name"),
        ("probabilities", "regression.probabilities: this name cannot be used"),
        ("a-b", "regression.a-b: this name cannot be used"),
        ("signal", "regression.signal: 'signal' has the same branch in friend trees"),
    ],
)
def test_a_quantity_needs_a_name_of_its_own(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as failure:
        load(toy_config(regression={name: {"target": "jet_mass"}}))
    assert message in str(failure.value)


def test_columns_of_two_quantities_need_different_names() -> None:
    quantiles = {"target": "jet_mass", "loss": "quantile", "quantiles": [0.5]}
    with pytest.raises(ConfigError, match=r"regression.mass_q50: 'mass' has the same branch in friend trees"):
        load(toy_config(regression={"mass": quantiles, "mass_q50": {"target": "jet_mass"}}))


def test_a_model_needs_an_output() -> None:
    with pytest.raises(ConfigError, match="classes: give the classes, or quantities in 'regression', or both"):
        load({**without_classes(toy_config()), "regression": {}})
    with pytest.raises(ConfigError, match="classes: one class cannot be told from others"):
        load(toy_config(classes=["signal"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "signal"}, "samples.background.label: 'signal' has no meaning without 'classes'"),
        ({"gates": {"auc.*": ">= 0.9"}}, "gates.auc.*: this run measures no such figure"),
        ({"export": {"preprocess_json": True}}, "export.preprocess_json: the producers that take one read probabilities"),
        ({"training": {"label_smoothing": 0.1}}, "training.label_smoothing: has no meaning without 'classes'"),
    ],
)
def test_what_is_for_classes_is_refused_without_them(change: dict[str, Any], message: str) -> None:
    load(without_classes(toy_config()))
    with pytest.raises(ConfigError) as failure:
        load({**without_classes(toy_config()), **change})
    assert message in str(failure.value)
