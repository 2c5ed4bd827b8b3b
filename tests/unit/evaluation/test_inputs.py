"""Distributions of the features, against NumPy on the whole splits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclotrain.config import load
from cyclotrain.contract import Contract
from cyclotrain.contract.results import Feature, Inputs
from cyclotrain.data.shards import Examples, read_split
from cyclotrain.evaluation.inputs import describe_inputs
from cyclotrain.report import catalogue
from cyclotrain.report.plots.draw import draw
from cyclotrain.report.tables import Tables
from support.toys import jets, raw_config, write_tree


@pytest.fixture
def described(ingest: Any, tmp_path: Path) -> tuple[Any, Contract, list[str], Inputs]:
    """Toys with NaN in a feature of jets, and a limit that cuts a feature of constituents."""
    columns = jets(1500, 2, is_signal=True)
    columns["jet_mass"][::10] = np.nan
    files = {"background": write_tree(tmp_path / "b.root", jets(1500, 1)), "signal": write_tree(tmp_path / "s.root", columns)}
    raw = raw_config(files)
    raw["inputs"]["pf"]["clip"] = 2.0
    config, contract, shards = ingest(raw)
    return config, contract, shards, describe_inputs(contract, shards)


def constituent_eta(contract: Contract, examples: Examples, label: int) -> tuple[Any, Any]:
    """The second feature of the constituents of a class, and the weight of each."""
    values, offsets = examples.sets["pf"]
    jet = np.repeat(np.arange(len(examples)), np.diff(offsets))
    own = (examples.label[jet] == label) & (values[:, contract.layout.sets["pf"].branches.index("pf_pt")] > 0)
    return values[own, contract.layout.sets["pf"].branches.index("pf_eta")], examples.weight[jet[own]]


def find(inputs: Inputs, text: str) -> Feature:
    return next(feature for feature in inputs.features if feature.text == text)


@pytest.mark.parametrize("split", ["train", "test"])
def test_shares_and_rates_are_those_of_numpy(split: str, described: Any) -> None:
    _, contract, shards, inputs = described
    examples, edges = read_split(shards, contract, split), np.array(find(inputs, "pf_eta").edges)
    for label, name in enumerate(contract.classes):
        values, weight = constituent_eta(contract, examples, label)
        (row,) = (r for r in find(inputs, "pf_eta").distributions if (r.split, r.class_name) == (split, name))
        inside = np.clip(values, edges[0], edges[-1] - 1e-6)
        np.testing.assert_allclose(
            row.shares, np.histogram(inside, edges, weights=weight)[0] / weight.sum(), rtol=1e-3, atol=1e-6
        )
        of_set = contract.layout.sets["pf"]
        beyond = np.abs(values - of_set.mean[1]) / of_set.std[1] > 2
        assert row.clipped == pytest.approx(beyond.mean(), abs=1e-4) and row.non_finite == 0
        (mass,) = (r for r in find(inputs, "jet_mass / jet_pt").distributions if (r.split, r.class_name) == (split, name))
        jet_mass = examples.scalars[examples.label == label, contract.layout.scalars.index("jet_mass")]
        assert mass.non_finite == pytest.approx(np.isnan(jet_mass).mean()) and mass.clipped == 0


def test_the_figures_are_the_worst_rates_of_a_set(described: Any) -> None:
    *_, inputs = described
    figures = {name: figure.value for name, figure in inputs.figures().items()}
    rows = [row for feature in inputs.features if feature.set_name == "pf" for row in feature.distributions]
    assert figures["clipped.pf"] == max(row.clipped for row in rows) > 0.02 and figures["non_finite.pf"] == 0
    assert 0.05 < figures["non_finite.jet"] < 0.2


def test_constituents_of_a_jet_make_the_uncertainty_of_their_shares_larger(described: Any) -> None:
    *_, inputs = described
    row = find(inputs, "pf_eta").distributions[0]
    shares, variances = np.array(row.shares), np.array(row.variances)
    entries = 1500 * 0.7 * 6
    assert np.median(variances[shares > 0.01] / (shares / entries)[shares > 0.01]) > 1


def test_negative_weights_count_as_they_are(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, shards = ingest(raw_config(toy_files, weight="where(event % 3 == 0, -1, 1)"))
    inputs = describe_inputs(contract, shards)
    assert all(sum(row.shares) == pytest.approx(1, abs=1e-4) for feature in inputs.features for row in feature.distributions)


def test_each_set_is_drawn_with_its_numbers(described: Any, tmp_path: Path) -> None:
    config, *_, inputs = described
    inputs.write(tmp_path / "inputs.json")
    entries = [entry for entry in catalogue.plots(config) if entry.section == catalogue.INPUTS]
    assert [entry.name for entry in entries] == ["inputs_jet", "inputs_pf"]
    for entry in entries:
        paths = [tmp_path / f"{entry.name}.{form}" for form in ("png", "svg", "json")]
        draw(entry.function, {"inputs": tmp_path / "inputs.json"}, paths, **entry.options)
        names = [table.name for table in Tables.read(paths[2]).tables]
        assert names == list(config.inputs[entry.options["set_name"]].features)


def test_many_features_are_drawn_on_several_pages_of_like_size() -> None:
    raw = raw_config({"background": "b.root", "signal": "s.root"})
    raw["inputs"]["jet"]["features"] = [f"jet_pt + {i}" for i in range(25)]
    pages = [dict(entry.options) for entry in catalogue.plots(load(raw)) if entry.name.startswith("inputs_jet")]
    assert [(int(page["first"]), int(page["last"])) for page in pages] == [(0, 8), (8, 16), (16, 25)]
