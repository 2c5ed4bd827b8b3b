"""A training that begins with the weights of another."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from cyclotrain.config import ConfigError, ModelConfig, TrainingConfig, load
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.parent import weights_file
from cyclotrain.contract.results import History
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.export.to_onnx import export
from cyclotrain.export.trained import TrainedModel
from cyclotrain.ingest.preflight import check_inputs
from cyclotrain.ingest.sources import Sources
from cyclotrain.networks.registry import Model, SavedWeights
from cyclotrain.training.fine_tuning import begin_with_parent, with_learning_rate_factors
from cyclotrain.training.optimizers import make_optimizer
from support.toys import jets, raw_config, skim_and_assemble, write_tree
from support.trained import Trained, run_training, run_until_killed


@pytest.fixture
def child(trained: Trained, tmp_path: Path) -> Callable[..., Any]:
    """Config, contract and shards of a training on other toys that begins with the weights of `trained`."""
    parent = tmp_path / "parent.json"
    trained.contract.write(parent)

    def make(**changes: Any) -> Any:
        files = {name: write_tree(tmp_path / name, jets(600, i + 7, i == 1)) for i, name in enumerate(("background", "signal"))}
        training = {"epochs": 2, "batch_size": 32, "initial_weights": "the parent", **changes.pop("training", {})}
        return skim_and_assemble(raw_config(files, training=training, **changes), tmp_path, parent)

    return make


def test_frozen_layers_stay_those_of_the_parent_and_features_are_standardised_as_there(
    child: Callable[..., Any], trained: Trained, tmp_path: Path
) -> None:
    config, contract, shards = child(training={"freeze": ["phi.*"]})
    weights = run_training(contract, config, shards, tmp_path / "child", parent=trained.weights)
    before, after = SavedWeights.read(trained.weights), SavedWeights.read(weights)
    changed = {name for name, value in before.weights.items() if not torch.equal(value, after.weights[name])}
    assert changed and not any(name.startswith(("network.phi.", "features.")) for name in changed)
    assert all(any(name.startswith(f"network.{layer}.") for name in changed) for layer in ("head.body", "head.out"))
    path = tmp_path / "model.onnx"
    export(TrainedModel(contract, config.model, weights), targets=config.export.targets, path=path)
    parent = model_metadata(onnx.load(path))["parent"]
    assert parent == {"run": "test", "weights_sha256": file_sha256(trained.weights)}


def test_a_head_for_other_classes_begins_anew_and_the_log_says_so(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parent = tmp_path / "parent.json"
    trained.contract.write(parent)
    names = ("background", "signal", "third")
    files = {name: write_tree(tmp_path / name, jets(300, i + 7, i == 1)) for i, name in enumerate(names)}
    raw = raw_config(files, classes=list(names), training={"initial_weights": "the parent", "epochs": 1})
    config, contract, shards = skim_and_assemble(raw, tmp_path, parent)
    run_training(contract, config, shards, tmp_path / "child", parent=trained.weights)
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("begins with 6 weights of run 'test' (0 frozen); 2 begin anew: head.out.") for line in said)
    assert "not loaded: head.out.weight: [3, 16] here, [2, 16] in the parent" in said


def test_the_same_number_of_other_classes_is_warned_of(
    child: Callable[..., Any], trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    config, contract, _ = child(classes=["signal", "background"])
    network = Model(contract, config.model.name, config.model.options)
    begin_with_parent(network, trained.weights, contract=contract, model=config.model, training=config.training)
    assert "the classes are signal, background, and background, signal in the parent; the head was loaded" in caplog.text


def test_another_scale_of_a_quantity_is_warned_of(trained_to_regress: Trained, caplog: pytest.LogCaptureFixture) -> None:
    contract, model = trained_to_regress.contract, trained_to_regress.config.model
    quantity = contract.regression[0]
    other = replace(contract, regression=(replace(quantity, offset=2.5, scale=4.0), *contract.regression[1:]))
    network = Model(other, model.name, model.options)
    parent, training = trained_to_regress.weights, trained_to_regress.config.training
    begin_with_parent(network, parent, contract=contract, model=model, training=training)
    assert "offset and scale" not in caplog.text
    begin_with_parent(network, parent, contract=other, model=model, training=training)
    assert f"regression.{quantity.name}: offset and scale are 2.5 and 4, and {quantity.offset:.6g} and" in caplog.text
    assert caplog.text.count("offset and scale") == 1


@pytest.mark.parametrize(
    ("training", "options", "message"),
    [
        ({"load": ["psi.*"]}, {}, r"training.load: no weight of the network fits 'psi.\*'; there are phi\.pf\.[\d.]*weight, "),
        ({"freeze": ["head.out.bais"]}, {}, r"training.freeze: no weight of the network fits 'head.out.bais'"),
        ({"freeze": ["*"]}, {}, r"training.freeze: no weight is left to train"),
        ({"load": ["phi.*"], "freeze": ["head.*"]}, {}, r"'head\.body\.[\d.]*weight' would stay at random .* not in 'load'"),
        ({"load": ["phi.*"]}, {"phi": [24, 24]}, r"can be taken .*\n  phi\.pf\.[\d.]*weight: \[24, 4\] here"),
    ],
)
def test_a_pattern_that_fits_nothing_and_weights_that_do_not_fit_are_named(
    training: dict[str, Any], options: dict[str, Any], message: str, child: Callable[..., Any], trained: Trained
) -> None:
    model = {"name": "deep_sets", "options": {"phi": [16, 16], "rho": [16], **options}}
    config, contract, _ = child(training=training, model=model)
    network = Model(contract, config.model.name, config.model.options)
    with pytest.raises(InputError, match=message):
        begin_with_parent(network, trained.weights, contract=contract, model=config.model, training=config.training)


def with_other_feature(raw: dict[str, Any]) -> dict[str, Any]:
    raw["inputs"]["jet"]["features"] = ["jet_pt", "abs(jet_eta)", "jet_mass / jet_pt"]
    raw["inputs"]["pf"]["clip"] = 5.0
    return raw


OTHER_FEATURES = (
    r"inputs.jet: 'log\(jet_pt\)' of the parent is missing; the parent lacks 'jet_pt'\n"
    r"  inputs.pf: 'clip' is 5.0 here and 10.0 in the parent\n"
)


def test_other_features_than_the_parents_are_named_and_allowed_on_request(
    trained: Trained, toy_files: dict[str, str], tmp_path: Path
) -> None:
    parent = tmp_path / "parent.json"
    trained.contract.write(parent)
    training = {"initial_weights": "the parent"}
    with pytest.raises(InputError, match=OTHER_FEATURES):
        skim_and_assemble(with_other_feature(raw_config(toy_files, training=training)), tmp_path, parent)
    raw = raw_config(toy_files, training={**training, "other_inputs": True})
    raw["inputs"]["jet"]["features"] = ["jet_pt"]
    _, contract, _ = skim_and_assemble(raw, tmp_path, parent)
    assert contract.layout.sets["pf"].mean == trained.contract.layout.sets["pf"].mean
    assert contract.layout.sets["jet"].mean[0] == pytest.approx(600, abs=5)


@pytest.fixture
def runs(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results with a finished run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/parent/train").mkdir(parents=True)
    (tmp_path / "results/parent/model").mkdir()
    (tmp_path / "results/parent/train/weights.pt").write_bytes(trained.weights.read_bytes())
    trained.contract.write(tmp_path / "results/parent/model/contract.json")
    (tmp_path / "results/cross/fold-0/train").mkdir(parents=True)
    (tmp_path / "results/cross/fold-0/train/weights.pt").touch()
    (tmp_path / "results/half").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("initial_weights", "message"),
    [
        ("results/parnt", "'results/parnt' does not exist; did you mean 'results/parent'"),
        ("results/cross", "has no train/weights.pt: it is a cross-training; give a fold, such as 'results/cross/fold-0'"),
        ("results/half", "has no train/weights.pt: its training is not finished"),
        ("results/test", "'results/test' is of this run itself"),
    ],
)
def test_the_plan_names_a_parent_that_is_not_there(
    initial_weights: str, message: str, runs: Path, toy_files: dict[str, str]
) -> None:
    config = load(raw_config(toy_files, training={"initial_weights": initial_weights}))
    with pytest.raises(InputError, match=f"training.initial_weights: .*{message}"):
        check_inputs(config, Sources.from_config(config))


def test_the_plan_names_features_that_the_parent_lacks(runs: Path, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files, training={"initial_weights": "results/parent"})
    same = load(raw)
    check_inputs(same, Sources.from_config(same))
    config = load(with_other_feature(raw))
    with pytest.raises(InputError, match=OTHER_FEATURES):
        check_inputs(config, Sources.from_config(config))


def test_a_weights_file_may_be_given_and_a_registered_model_is_no_file(runs: Path) -> None:
    path = Path("results/parent/train/weights.pt")
    assert weights_file("results/parent", Path("results/test")) == weights_file(str(path), Path("results/test")) == path
    assert weights_file("models:/tagger@best", Path("results/test")) is None


def test_a_file_that_is_no_weights_is_named(tmp_path: Path) -> None:
    for content in (b"", b"no weights", json.dumps({}).encode()):
        (tmp_path / "weights.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"weights.pt is no weights.pt that this version of Cyclotrain wrote"):
            SavedWeights.read(tmp_path / "weights.pt")


@pytest.mark.parametrize("key", ["freeze", "load"])
def test_layers_to_take_from_a_parent_need_one(key: str, toy_files: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=f"'{key}' needs 'initial_weights'"):
        load(raw_config(toy_files, training={key: ["phi.*"]}))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_layers_learn_at_their_factor_of_the_rate(optimizer: str, trained: Trained) -> None:
    network = Model(trained.contract, "deep_sets", ModelConfig(name="deep_sets").options).network
    training = TrainingConfig(optimizer=optimizer, learning_rate=0.01)
    plain = make_optimizer(network, training)
    rates = {id(p): group["lr"] for group in plain.param_groups for p in group["params"]}
    factors = {"phi.*.bias": 0.5, "phi.*": 0.1}
    divided = with_learning_rate_factors(make_optimizer(network, training), network, factors)
    for group in divided.param_groups:
        for parameter in group["params"]:
            (name,) = (name for name, other in network.named_parameters() if other is parameter)
            factor = 0.5 if name.startswith("phi.") and name.endswith("bias") else 0.1 if name.startswith("phi.") else 1.0
            assert group["lr"] == pytest.approx(factor * rates[id(parameter)])
    assert sum(len(group["params"]) for group in divided.param_groups) == len(rates)
    with pytest.raises(InputError, match=r"training.learning_rate_factors: no weight of the network fits 'psi.\*'"):
        with_learning_rate_factors(plain, network, {"psi.*": 0.1})


def test_a_killed_fine_tuning_ends_with_the_same_weights(child: Callable[..., Any], trained: Trained, tmp_path: Path) -> None:
    factors = {"head.*": 0.1}
    config, contract, shards = child(training={"epochs": 3, "freeze": ["phi.*"], "learning_rate_factors": factors, "ema": 0.9})
    whole = run_training(contract, config, shards, tmp_path / "whole", parent=trained.weights)
    run_until_killed(contract, config, shards, tmp_path / "killed", trained.weights)
    again = run_training(contract, config, shards, tmp_path / "killed", parent=trained.weights)
    assert file_sha256(again) == file_sha256(whole)


def test_a_killed_fine_tuning_does_not_go_on_with_another_parent(
    child: Callable[..., Any], trained: Trained, tmp_path: Path
) -> None:
    config, contract, shards = child()
    saved = SavedWeights.read(trained.weights)
    other = tmp_path / "other.pt"
    SavedWeights({k: v * 1.1 for k, v in saved.weights.items()}, saved.source, saved.contract).write(other)
    whole = run_training(contract, config, shards, tmp_path / "whole", parent=other)
    run_until_killed(contract, config, shards, tmp_path / "killed", trained.weights)
    again = run_training(contract, config, shards, tmp_path / "killed", parent=other)
    assert file_sha256(again) == file_sha256(whole)


def shapes(folder: Path, n: int, widths: dict[str, float], seed: int) -> dict[str, str]:
    """Jets of classes that differ in the width of their constituents in eta only."""
    files = {}
    for i, (name, width) in enumerate(widths.items()):
        columns = jets(n, seed + i)
        columns["pf"]["eta"] = columns["pf"]["eta"] * (width / 0.2)
        files[name] = write_tree(folder / f"{name}.root", columns)
    return files


def test_a_network_of_other_classes_with_a_new_head_beats_training_from_nothing_at_a_tenth_of_the_data(tmp_path: Path) -> None:
    training = {"epochs": 12, "batch_size": 64, "learning_rate": 0.01}
    folders = {name: tmp_path / name for name in ("parent", "child", "nothing")}
    for folder in folders.values():
        folder.mkdir()
    files = shapes(tmp_path, 3000, {"narrow": 0.15, "wide": 0.3}, 10)
    raw = raw_config(files, classes=["narrow", "wide"], training=training)
    config, contract, shards = skim_and_assemble(raw, folders["parent"])
    parent = run_training(contract, config, shards, folders["parent"] / "run")
    contract.write(tmp_path / "parent.json")
    files = shapes(tmp_path, 300, {"slim": 0.18, "broad": 0.26}, 20)
    losses = {}
    few = {**training, "epochs": 20}
    tuned = {"initial_weights": "the parent", "load": ["phi.*", "head.body.*"]}
    for name, changes in {"child": tuned, "nothing": {}}.items():
        raw = raw_config(files, classes=["slim", "broad"], training={**few, **changes})
        begins = (tmp_path / "parent.json", parent) if changes else (None, None)
        config, contract, shards = skim_and_assemble(raw, folders[name], begins[0])
        run_training(contract, config, shards, folders[name] / "run", parent=begins[1])
        losses[name] = History.read(folders[name] / "run/history.jsonl").kept.validation_loss
    print(losses)
    assert losses["child"] < losses["nothing"] - 0.02
