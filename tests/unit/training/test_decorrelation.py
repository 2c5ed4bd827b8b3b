"""A score that follows an observer without decorrelation, and much less with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.config import ConfigError, load
from cyclotrain.contract.results import MODEL, History
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.metrics.distance_correlation import distance_correlation
from cyclotrain.training.decorrelation import squared_distance_correlation
from support.toys import jets, raw_config, skim_and_assemble, write_tree
from support.trained import Trained, run_training, run_until_killed

DECORRELATE = {"observer": "mass", "strength": 1.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    return {
        "background": write_tree(folder / "background.root", jets(6000, 1)),
        "signal": write_tree(folder / "signal.root", jets(6000, 2, is_signal=True)),
    }


def mass_config(files: dict[str, str], observer: str = "jet_mass", **training: Any) -> dict[str, Any]:
    training = {"epochs": 8, "batch_size": 512, "learning_rate": 0.01, **training}
    return raw_config(files, training=training, observers={"mass": {"expression": observer}})


@given(seed=st.integers(0, 1000), n=st.integers(3, 60), signed=st.booleans())
def test_it_is_the_distance_correlation_of_numpy(seed: int, n: int, signed: bool) -> None:
    random = np.random.default_rng(seed)
    x, weight = random.normal(100, 30, n), random.uniform(0.2, 2, n) * np.where(signed & (random.random(n) < 0.2), -1, 1)
    y = 1 / (1 + np.exp(-x / 30 + random.normal(3, 1, n)))
    measured = squared_distance_correlation(*map(torch.from_numpy, (x, y, weight))).item()
    expected = distance_correlation(x, y, weight=weight).value
    if expected is None:
        assert measured == 0
    elif expected < 10:  # not where negative weights take all of the variance away
        assert measured == pytest.approx(expected**2, abs=1e-9)


def test_its_gradient_is_that_of_finite_differences() -> None:
    random = torch.Generator().manual_seed(0)
    x, y, weight = (torch.rand(12, dtype=torch.float64, generator=random) for _ in range(3))
    y.requires_grad_()
    assert torch.autograd.gradcheck(lambda score: squared_distance_correlation(x, score, weight), (y,))


@pytest.mark.parametrize("weight", [[0.0, 0, 0], [1, -1, -1]])
def test_without_weight_or_with_one_score_for_all_it_is_0_with_a_finite_gradient(weight: list[float]) -> None:
    x, y = torch.tensor([1.0, 2, 3]), torch.full((3,), 0.5, requires_grad=True)
    for w in (torch.tensor(weight), torch.ones(3)):
        result = squared_distance_correlation(x, y, w)
        (gradient,) = torch.autograd.grad(result, y)
        assert result.item() == 0 and torch.isfinite(gradient).all()
    assert squared_distance_correlation(x[:1], y[:1], torch.ones(1)).item() == 0


def test_a_batch_carries_the_observers(files: dict[str, str], tmp_path: Path) -> None:
    _, contract, shards = skim_and_assemble(mass_config(files), tmp_path)
    examples, column = read_split(shards, contract, "test"), contract.layout.observers.index("jet_mass")
    rows = torch.tensor([7, 2, 5])
    batch = Batches(examples, contract.layout, 3).gather(rows)
    np.testing.assert_array_equal(batch.observers[:, column], examples.observers[rows, column])


def test_a_score_that_follows_the_mass_follows_it_much_less_for_a_little_of_the_area(
    files: dict[str, str], tmp_path: Path
) -> None:
    correlation, area = {}, {}
    for name, decorrelate in (("with", DECORRELATE), ("without", None)):
        folder = tmp_path / name
        folder.mkdir()
        trained = Trained(*skim_and_assemble(mass_config(files, decorrelate=decorrelate), folder), folder / "out")
        test = trained.predictions()["test"].whole()
        background = test.select(test.label == 0)
        score = background.probabilities(MODEL)[:, 1]
        correlation[name] = distance_correlation(background.observer("jet_mass"), score, weight=background.weight).value
        area[name] = trained.evaluate()[0].figures()["auc.background"].value
        history = History.read(folder / "out/history.jsonl")
        assert ("distance correlation" in history.kept.validation_losses) == bool(decorrelate)
    assert correlation["without"] > 0.5 and correlation["with"] < correlation["without"] / 3
    assert area["without"] - 0.03 < area["with"] < area["without"]


def test_a_killed_training_ends_with_the_same_weights(files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = skim_and_assemble(
        mass_config(files, epochs=3, batch_size=256, decorrelate=DECORRELATE, calibrate="temperature"), tmp_path
    )
    whole = run_training(contract, config, shards, tmp_path / "whole")
    run_until_killed(contract, config, shards, tmp_path / "killed")
    assert file_sha256(run_training(contract, config, shards, tmp_path / "killed")) == file_sha256(whole)


def test_the_validation_loss_has_the_term_of_the_whole_split(files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = skim_and_assemble(mass_config(files, epochs=1, decorrelate=DECORRELATE), tmp_path)
    run_training(contract, config, shards, tmp_path / "out")
    (epoch,) = History.read(tmp_path / "out/history.jsonl").epochs
    assert sum(epoch.validation_losses.values()) == pytest.approx(epoch.validation_loss, rel=1e-5)


def test_accumulated_batches_are_correlated_one_by_one(files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = skim_and_assemble(mass_config(files, epochs=1, accumulate=4, decorrelate=DECORRELATE), tmp_path)
    run_training(contract, config, shards, tmp_path / "out")
    (epoch,) = History.read(tmp_path / "out/history.jsonl").epochs
    assert np.isfinite(epoch.train_loss) and epoch.validation_losses["distance correlation"] > 0


@pytest.mark.parametrize(
    ("observer", "message"),
    [
        ("jet_mass * 0 + 3", "'mass' is 3 for all training examples of class 'background', so no score can depend on it"),
        ("log(0 * jet_mass - 1)", "'mass' is NaN or infinite for all training examples of class 'background'"),
    ],
)
def test_an_observer_that_says_nothing_is_named(observer: str, message: str, files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = skim_and_assemble(mass_config(files, observer, decorrelate=DECORRELATE), tmp_path)
    with pytest.raises(InputError, match=f"training.decorrelate.observer: {message}"):
        run_training(contract, config, shards, tmp_path / "out")


def test_examples_without_the_observer_are_left_out_and_counted(
    files: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = mass_config(files, "log(jet_mass - 40)", epochs=1, decorrelate=DECORRELATE)
    config, contract, shards = skim_and_assemble(raw, tmp_path)
    run_training(contract, config, shards, tmp_path / "out")
    examples = read_split(shards, contract, "train")
    values = examples.observers[examples.label == 0, contract.layout.observers.index("log(jet_mass - 40)")]
    left_out = int((~np.isfinite(values)).sum())
    assert left_out > 100
    assert f"is not finite for {left_out} of {len(values)} background examples" in caplog.text


@pytest.mark.parametrize(
    ("observer", "message"),
    [("mas", "'mas' is not one of the 'observers'; did you mean 'mass'?"), ("npv", "there are: mass; add it there")],
)
def test_an_observer_that_does_not_exist_is_named(observer: str, message: str) -> None:
    raw = mass_config({"background": "b.root", "signal": "s.root"}, decorrelate={"observer": observer})
    with pytest.raises(ConfigError, match=r"training.decorrelate.observer: .*" + message.replace("?", r"\?")):
        load(raw)


@pytest.mark.parametrize("key", ["decorrelate", "calibrate"])
def test_it_has_no_meaning_without_classes(key: str) -> None:
    raw = mass_config({"background": "b.root", "signal": "s.root"})
    raw["training"] = {key: {"decorrelate": DECORRELATE, "calibrate": "temperature"}[key]}
    del raw["classes"]
    raw["regression"] = {"mass": {"target": "jet_mass"}}
    raw["samples"] = {name: {k: v for k, v in sample.items() if k != "label"} for name, sample in raw["samples"].items()}
    with pytest.raises(ConfigError, match=rf"training.{key}: has no meaning without 'classes'"):
        load(raw)
