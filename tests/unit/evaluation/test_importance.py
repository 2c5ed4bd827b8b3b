"""What features are worth: against scikit-learn, and for a linear network, of which the answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from cyclotrain.contract.results import Importance
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import iterate_rows, read_split
from cyclotrain.evaluation import importance as module
from cyclotrain.evaluation.importance import importance
from cyclotrain.networks.features import Inputs
from cyclotrain.networks.registry import Model
from cyclotrain.report import catalogue
from cyclotrain.report.plots.draw import draw
from support.toys import raw_config
from support.trained import Trained

WEIGHTS, SUMMED = (0.7, 0.0, 1.5), (0.2, -0.1, 0.0, 0.3)


class Linear(nn.Module):
    """Log-odds of signal: a weighted sum of the features, over all constituents."""

    def forward(self, features: dict[str, Tensor], masks: dict[str, Tensor]) -> Tensor:
        score = features["jet"] @ torch.tensor(WEIGHTS) + (features["pf"] @ torch.tensor(SUMMED)).sum(1)
        return torch.stack([torch.zeros_like(score), score], 1)


@pytest.fixture
def linear(ingest: Any, toy_files: dict[str, str]) -> tuple[Any, Any, list[str], Model]:
    config, contract, shards = ingest(raw_config(toy_files, evaluation={"importance": True}))
    model = Model(contract, config.model.name, config.model.options).eval()
    model.network = Linear()
    return config, contract, shards, model


def inputs_of(contract: Any, shards: list[str], model: Model) -> tuple[Any, Inputs]:
    examples = read_split(shards, contract, "test")
    return examples, model.features(Batches(examples, contract.layout, 10_000).gather(torch.arange(len(examples))).branches)


def test_shuffling_loses_what_scikit_learn_says(linear: Any) -> None:
    _, contract, shards, model = linear
    examples, inputs = inputs_of(contract, shards, model)
    rest = (inputs.features["pf"] @ torch.tensor(SUMMED)).sum(1).numpy()
    x = inputs.features["jet"].numpy()

    class Estimator:
        def fit(self) -> None: ...

        def score(self, x: Any, y: Any, sample_weight: Any) -> float:
            return float(roc_auc_score(y, x @ np.array(WEIGHTS) + rest, sample_weight=sample_weight))

    theirs = permutation_importance(
        Estimator(), x, examples.label, n_repeats=30, random_state=0, sample_weight=examples.weight.astype(float)
    )
    ours = importance(contract, shards, model)
    assert ours.examples == len(examples) and ours.nominal["background"].value == pytest.approx(
        Estimator().score(x, examples.label, examples.weight), abs=0.03
    )
    for index, one in enumerate(one for one in ours.features if one.set_name == "jet"):
        lost = one.permutation["background"]
        assert lost.value is not None and lost.uncertainty is not None
        tolerance = 4 * np.hypot(lost.uncertainty, theirs.importances_std[index])
        assert lost.value == pytest.approx(theirs.importances_mean[index], abs=tolerance + 1e-12)
    mass = ours.features[2].permutation["background"]
    assert mass.value and mass.uncertainty and mass.value > 0.1 > mass.uncertainty


def test_integrated_gradients_of_a_linear_network_are_weight_times_feature(linear: Any) -> None:
    _, contract, shards, model = linear
    examples, inputs = inputs_of(contract, shards, model)
    ours = importance(contract, shards, model)
    assert ours.attributed >= 256
    step = -(-len(examples) // 512)
    x, constituents = inputs.features["jet"].numpy()[::step], inputs.features["pf"].numpy()[::step]
    expected = [*np.abs(x * np.array(WEIGHTS)).T, *np.abs(constituents * np.array(SUMMED)).sum(1).T]
    for one, values in zip(ours.features, expected, strict=True):
        figure = one.attribution["signal"]
        assert figure.value == pytest.approx(values.mean(), rel=1e-4, abs=1e-9)
        assert figure.uncertainty == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)), rel=1e-3, abs=1e-9)


def test_what_the_network_does_not_use_is_worth_nothing(linear: Any) -> None:
    _, contract, shards, model = linear
    by_text = {one.text: one for one in importance(contract, shards, model).features}
    for text in ("abs(jet_eta)", "delta_phi(pf_phi, jet_phi)"):
        assert by_text[text].permutation["background"].value == by_text[text].attribution["signal"].value == 0


def test_correlated_features_are_in_one_group(ingest: Any, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files)
    raw["inputs"]["jet"]["features"] += ["jet_pt", "1 / jet_pt"]
    config, contract, shards = ingest(raw)
    features = importance(contract, shards, Model(contract, config.model.name, config.model.options).eval()).features
    groups = {one.text: one.group for one in features}
    assert groups["log(jet_pt)"] == groups["jet_pt"] == groups["1 / jet_pt"] == 0
    assert groups["abs(jet_eta)"] is None and groups["pf_eta"] is None


def test_of_many_examples_a_part_is_taken_that_is_spread_over_the_split(linear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, contract, shards, model = linear
    test = read_split(shards, contract, "test")
    taken = np.concatenate([part.event_hash for part in iterate_rows(shards, contract, "test", step=3)])
    np.testing.assert_array_equal(taken, test.event_hash[2::3])
    monkeypatch.setattr(module, "_EXAMPLES", 100)
    assert 70 <= importance(contract, shards, model).examples <= 100


def test_quantities_and_a_trained_network_are_drawn(trained_to_regress: Trained, tmp_path: Path) -> None:
    trained = trained_to_regress
    measured = importance(trained.contract, trained.shards, trained.model.load())
    assert set(measured.nominal) == {"background", "true_mass", "far", "ratio"}
    assert set(measured.features[0].attribution) == {"signal", "true_mass", "far", "ratio"}
    by_text = {one.text: one for one in measured.features}
    worst = max(by_text.values(), key=lambda one: one.permutation["true_mass"].value or 0)
    assert worst.text == "jet_mass / jet_pt"
    measured.write(tmp_path / "importance.json")
    assert Importance.read(tmp_path / "importance.json") == measured
    config = trained.config.model_copy(update={"evaluation": trained.config.evaluation.model_copy(update={"importance": True})})
    entries = [entry for entry in catalogue.plots(config) if entry.results == ("importance",)]
    assert [entry.name for entry in entries] == [f"importance_{name}" for name in measured.nominal]
    for entry in entries:
        paths = [tmp_path / f"{entry.name}.{form}" for form in ("png", "svg", "json")]
        draw(entry.function, {"importance": tmp_path / "importance.json"}, paths, **entry.options)
        assert all(path.stat().st_size > 500 for path in paths)
