"""Samples that no model is made with: recorded data, and those that a systematic variation uses instead of others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclotrain.config import ConfigError, load
from cyclotrain.contract import Contract
from cyclotrain.core.files import read_json
from cyclotrain.data.shards import concatenate, iterate_split
from cyclotrain.ingest.preflight import check_inputs
from cyclotrain.ingest.sources import Sources
from support.toys import jets, raw_config, with_regression, write_tree

TRUTH = ("genWeight", "isSignal")


def with_data(files: dict[str, str], path: str, **data: Any) -> dict[str, Any]:
    raw = raw_config(files)
    raw["samples"]["recorded"] = {"files": [path], "tree": "Jets", "data": True, **data}
    return raw


def recorded(folder: Path, *without: str, n: int = 400) -> str:
    columns = jets(n, 7)
    return write_tree(folder / "recorded.root", {name: column for name, column in columns.items() if name not in without})


def test_data_are_read_without_truth_and_the_model_is_made_without_them(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    _, alone, shards_alone = ingest(raw_config(toy_files, define={"good": "jet_pt > 520", "truth": "isSignal > 0"}))
    raw = with_data(toy_files, recorded(tmp_path, *TRUTH), selection="good & (jet_pt < 690)")
    _, contract, shards = ingest(with_regression({**raw, "define": {"good": "jet_pt > 520", "truth": "isSignal > 0"}}))
    assert contract.samples.keys() == alone.samples.keys() == {"background", "signal"} and shards == shards_alone
    assert contract.layout.sets["jet"].mean == alone.layout.sets["jet"].mean
    receipt, shard = read_json(tmp_path / "recorded.json"), tmp_path / "recorded.arrow"
    parts = iterate_split([shard], contract.layout, "test", normalisation={"recorded": 1.0}, fold=None)
    data = concatenate(list(parts), contract.layout)
    pt = jets(400, 7)["jet_pt"]
    assert len(data) == receipt["events_kept"] == np.count_nonzero((pt > 520) & (pt < 690)) < 400
    assert (data.weight == 1).all() and (data.label == 0).all() and np.isnan(data.targets).all()


def check(raw: dict[str, Any]) -> None:
    config = load(raw)
    check_inputs(config, Sources.from_config(config))


def test_a_branch_that_data_lack_is_named_in_the_plan(toy_files: dict[str, str], tmp_path: Path) -> None:
    check(with_data(toy_files, recorded(tmp_path, *TRUTH)))
    with pytest.raises(ValueError, match=r"recorded\.root.* has no branch 'jet_mass'.*'data: true'.*samples\.recorded\.absent"):
        check(with_data(toy_files, recorded(tmp_path, "jet_mass")))


@pytest.mark.parametrize("key", [{"label": "signal"}, {"weight": "genWeight"}, {"split": "train"}])
def test_what_is_for_simulation_is_refused_for_data(key: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=rf"samples\.recorded: '{next(iter(key))}' is for simulation"):
        load(with_data({"background": "b.root", "signal": "s.root"}, "d.root", **key))


def test_a_run_needs_samples_that_are_neither_data_nor_variations() -> None:
    raw = raw_config({"background": "b.root", "signal": "s.root"})
    raw["samples"] = {name: {"files": ["b.root"], "data": True} for name in raw["samples"]}
    with pytest.raises(ConfigError, match="samples: none is for training"):
        load(raw)


def with_variation(variation: dict[str, Any]) -> dict[str, Any]:
    raw = raw_config({"background": "b.root", "signal": "s.root"}, systematics={"scale": {"up": variation}})
    raw["samples"]["other"] = {"files": ["o.root"], "tree": "Jets", "label": "background"}
    raw["samples"]["recorded"] = {"files": ["d.root"], "tree": "Jets", "data": True}
    return raw


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        ({}, "systematics.scale.up: give one of 'samples', 'weight' and 'branches'"),
        ({"weight": "w", "branches": {"jet_pt": "2 * jet_pt"}}, "systematics.scale.up: give one of"),
        ({"samples": {"background": "othr"}}, "systematics.scale.up.samples: there is no sample 'othr'; did you mean 'other'?"),
        ({"samples": {"background": "recorded"}}, "systematics.scale.up.samples: 'recorded' is data"),
        ({"samples": {"signal": "other"}}, "systematics.scale.up.samples: 'signal' and 'other' have different labels"),
        ({"branches": {"jet_pt": "jet_pt *"}}, "systematics.scale.up.branches.jet_pt: syntax error"),
        ({"branches": {"jet_pt": "sum(jet_pt)"}}, "systematics.scale.up.branches.jet_pt: 'sum' is for selection"),
    ],
)
def test_a_wrong_variation_is_named(variation: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(with_variation(variation))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        ({"branches": {"jet_pT": "2 * jet_pt"}}, "branches: 'jet_pT' is no input of the model, .*did you mean 'jet_pt'"),
        ({"branches": {"jet_pt": "2 * genWeight"}}, "branches: 'genWeight' is no input of the model"),
        ({"branches": {"jet_pt": "2 * pf_pt"}}, "branches.jet_pt: '2 \\* pf_pt' has a list per example"),
    ],
)
def test_a_branch_that_no_variation_can_change_is_named_in_the_plan(
    variation: dict[str, Any], message: str, toy_files: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=message):
        check(raw_config(toy_files, systematics={"scale": {"up": variation}}))
    check(raw_config(toy_files, systematics={"scale": {"up": {"branches": {"pf_pt": "pf_pt * jet_pt / 600"}}}}))


def test_a_sample_that_is_used_instead_of_another_is_in_no_training(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    raw = raw_config(toy_files, systematics={"showers": {"up": {"samples": {"background": "other"}}}})
    raw["samples"]["other"] = {**raw["samples"]["background"], "files": [write_tree(tmp_path / "o.root", jets(300, 5))]}
    contract: Contract
    _, contract, shards = ingest(raw)
    assert list(contract.samples) == ["background", "signal"] and len(shards) == 2
    assert (tmp_path / "other.arrow").exists()
