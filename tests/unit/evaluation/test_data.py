"""Data against simulation: toys that agree, that are shifted, and that lack observers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclotrain.config import load
from cyclotrain.config.gates import names
from cyclotrain.contract.results import OBSERVER, SCORE, DataComparison, Verification
from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import read_split
from cyclotrain.evaluation.data import compare_data
from cyclotrain.evaluation.inputs import describe_inputs
from cyclotrain.gates.judge import judge
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from cyclotrain.report import catalogue
from cyclotrain.report.plots.draw import draw
from cyclotrain.report.tables import Tables
from cyclotrain.runtimes.sessions import open_session
from support.toys import jets, raw_config, skim_and_assemble, toys, write_tree
from support.trained import Trained

Change = Callable[[dict[str, Any]], Any]
OBSERVERS: dict[str, Any] = {
    "mass": {"expression": "jet_mass", "label": "Jet mass [GeV]"},
    "isSignal": {},
    "num_pf": {"expression": "num(pf_pt)"},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """With observers, one of which data do not have."""
    folder = tmp_path_factory.mktemp("model")
    return Trained(*skim_and_assemble(raw_config(toys(folder), observers=OBSERVERS), folder), folder / "out")


def as_recorded(folder: Path, change: Change | None = None) -> str:
    """A mixture of both classes, of other events."""
    parts = [jets(1500, seed, is_signal=seed == 12) for seed in (11, 12)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name not in ("genWeight", "isSignal")}
    if change:
        change(columns)
    return write_tree(folder / "recorded.root", columns)


def compared(model: Trained, folder: Path, change: Change | None = None, **sample: Any) -> DataComparison:
    """Skim the data as the workflow does, and compare them."""
    raw = model.config.model_dump(exclude_unset=True)
    data = {"files": [as_recorded(folder, change)], "tree": "Jets", "data": True, "absent": ["isSignal"], **sample}
    config = load({**raw, "samples": {**raw["samples"], "recorded": data}})
    shard, receipt = folder / "recorded.arrow", folder / "recorded.json"
    recipe = Recipe.from_config(config, "recorded")
    skim(recipe, data["files"], friends={}, skip_broken=False, shard=shard, receipt=receipt)
    test = model.predictions()["test"]
    comparison = compare_data(model.contract, model.shards, test, data=[str(shard)], session=open_session(model.onnx, 1))
    assert set(comparison.figures()) == {name for name in names(config) if name.startswith("data_")}
    return comparison


def test_data_that_agree_pass_every_test(model: Trained, tmp_path: Path) -> None:
    comparison = compared(model, tmp_path)
    assert comparison.examples == {"recorded": 3000} and comparison.absent == ("isSignal",)
    figures = {name: figure.value for name, figure in comparison.figures().items()}
    # 21 tests, whose p-values are uniform: the smallest of them
    assert min(figures.values()) > 1e-3 and figures["data_p_value"] > 0.02  # type: ignore[operator, type-var]
    assert [one.text for one in comparison.of(OBSERVER)] == ["mass", "num_pf"]
    assert [one.text for one in comparison.of(SCORE)] == ["signal"]


def test_counts_are_those_of_numpy_and_the_simulation_is_normalised_to_data(model: Trained, tmp_path: Path) -> None:
    comparison, test = compared(model, tmp_path), read_split(model.shards, model.contract, "test")
    (mass,) = (one for one in comparison.of(OBSERVER) if one.text == "mass")
    recorded = np.concatenate([jets(1500, seed, is_signal=seed == 12)["jet_mass"] for seed in (11, 12)])
    edges = np.array(mass.edges)
    inside = np.clip(recorded, edges[0] + 1e-4, edges[-1] - 1e-4)
    assert mass.data == pytest.approx(np.histogram(inside, edges)[0], abs=1)
    assert mass.data_uncertainty == pytest.approx(np.sqrt(mass.data), rel=1e-5)
    assert np.sum(list(mass.simulation.values())) == pytest.approx(3000, rel=1e-4)
    signal = test.weight[test.label == 1].sum() / test.weight.sum()
    assert sum(mass.simulation["signal"]) / 3000 == pytest.approx(signal, rel=1e-4)


def test_shifted_data_are_seen_where_they_are_shifted_and_nowhere_else(model: Trained, tmp_path: Path) -> None:
    def shift(columns: dict[str, Any]) -> None:
        columns["jet_eta"] += np.float32(0.4) * np.sign(columns["jet_eta"])

    figures = {name: figure.value or 0 for name, figure in compared(model, tmp_path, shift).figures().items()}
    assert figures["data_ks_p_value.jet.abs(jet_eta)"] < 1e-9 and figures["data_chi2_p_value.jet.abs(jet_eta)"] < 1e-9
    assert figures["data_p_value"] < 1e-6
    others = [value for name, value in figures.items() if "eta" not in name and name != "data_p_value" and "score" not in name]
    assert min(others) > 1e-3


def test_values_that_are_not_finite_are_counted_and_not_compared(model: Trained, tmp_path: Path) -> None:
    def spoil(columns: dict[str, Any]) -> None:
        columns["jet_mass"][::4] = np.nan

    comparison = compared(model, tmp_path, spoil)
    (mass,) = (one for one in comparison.of(OBSERVER) if one.text == "mass")
    assert mass.non_finite_data == 0.25 and mass.non_finite_simulation == 0 and sum(mass.data) == 2250
    assert mass.chi_square.p_value is not None and mass.chi_square.p_value > 1e-3


def test_data_that_no_event_passes_are_named(model: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"samples\.recorded: no data pass the selection"):
        compared(model, tmp_path, selection="jet_pt > 1e6")


def test_data_with_flat_branches_where_simulation_has_lists_are_named(model: Trained, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"samples\.recorded: 'jet_mass' is jagged here and flat in the simulation"):
        shard = tmp_path / "odd.arrow"
        raw = model.config.model_dump(exclude_unset=True)
        raw["inputs"]["jet"]["features"] = ["log(jet_pt)", "abs(jet_eta)"]
        raw["observers"] = {}
        raw["inputs"]["pf"]["features"].append("jet_mass / pf_pt")
        columns = jets(50, 3)
        columns["jet_mass"] = columns["pf"]["pt"]
        path = write_tree(tmp_path / "odd.root", columns)
        raw["samples"]["recorded"] = {"files": [path], "tree": "Jets", "data": True}
        recipe = Recipe.from_config(load(raw), "recorded")
        skim(recipe, [path], friends={}, skip_broken=False, shard=shard, receipt=tmp_path / "odd.json")
        test = model.predictions()["test"]
        compare_data(model.contract, model.shards, test, data=[str(shard)], session=open_session(model.onnx, 1))


def test_each_set_observers_and_scores_are_drawn_with_their_numbers(model: Trained, tmp_path: Path) -> None:
    comparison = compared(model, tmp_path)
    comparison.write(tmp_path / "data.json")
    raw = model.config.model_dump(exclude_unset=True)
    data = {"files": ["recorded.root"], "tree": "Jets", "data": True, "absent": ["isSignal"]}
    config = load({**raw, "samples": {**raw["samples"], "recorded": data}})
    entries = [entry for entry in catalogue.plots(config) if entry.section == catalogue.DATA]
    assert [entry.name for entry in entries] == ["data_jet", "data_pf", "data_observer", "data_score"]
    for entry in entries:
        paths = [tmp_path / f"{entry.name}.{form}" for form in ("png", "svg", "json")]
        draw(entry.function, {"data": tmp_path / "data.json"}, paths, **entry.options)
        shown = [table.name for table in Tables.read(paths[2]).tables]
        assert shown == [one.label for one in comparison.of(entry.options["set_name"])]


def test_shifted_data_fail_the_gates_on_data_and_no_other(model: Trained, tmp_path: Path) -> None:
    def shift(columns: dict[str, Any]) -> None:
        columns["jet_mass"] *= np.float32(1.1)

    (evaluation, _), inputs = model.evaluate(), describe_inputs(model.contract, model.shards)
    bounds = {
        "data_p_value": [">= 0.001"], "data_ks_p_value.observer.mass": [">= 0.001"], "ks_p_value.*": [">= 0.001"],
        "auc.*": [">= 0.7"], "calibration_error.*": ["<= 0.2"], "non_finite.*": ["<= 0"], "clipped.*": ["<= 0.05"],
    }  # fmt: skip
    verification = Verification.model_construct(matrix=(), failures=())
    failed = []
    for number, change in enumerate((None, shift)):
        folder = tmp_path / str(number)
        folder.mkdir()
        figures = {**evaluation.figures(), **inputs.figures(), **compared(model, folder, change).figures()}
        gates = judge(verification, figures, bounds=bounds, rejection_losses={}).gates
        failed.append({gate.name for gate in gates if not gate.passed})
    assert failed == [set(), {"data_p_value", "data_ks_p_value.observer.mass"}]
