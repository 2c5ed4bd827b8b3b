import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclotrain.config import ConfigError
from cyclotrain.contract import Contract
from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import read_split
from support.toys import jets, raw_config, write_tree


def test_standardisation_is_fitted_on_the_training_split_only(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, shards = ingest(raw_config(toy_files))
    train = read_split(shards, contract, "train")
    expected = np.log(train.scalars[:, contract.layout.scalars.index("jet_pt")].astype(np.float64))
    fitted = contract.layout.sets["jet"]
    assert fitted.mean[0] == pytest.approx(expected.mean(), rel=1e-6)
    assert fitted.std[0] == pytest.approx(expected.std(), rel=1e-5)


def test_non_finite_values_and_padding_do_not_count(ingest: Any, tmp_path: Path) -> None:
    columns = jets(3000, 1)
    columns["jet_mass"][::5] = np.nan
    files = {
        "background": write_tree(tmp_path / "b.root", columns),
        "signal": write_tree(tmp_path / "s.root", jets(3000, 2)),
    }
    _, contract, shards = ingest(raw_config(files))
    train = read_split(shards, contract, "train")
    mass, pt = (train.scalars[:, contract.layout.scalars.index(b)].astype(np.float64) for b in ("jet_mass", "jet_pt"))
    assert contract.layout.sets["jet"].mean[2] == pytest.approx(np.nanmean(mass / pt), rel=1e-5)
    values, _ = train.sets["pf"]
    eta = values[:, contract.layout.sets["pf"].branches.index("pf_eta")]
    assert contract.layout.sets["pf"].mean[1] == pytest.approx(eta.astype(np.float64).mean(), abs=1e-6)


def test_classes_are_balanced_and_training_weights_have_mean_one(ingest: Any, tmp_path: Path) -> None:
    files = {
        "background": write_tree(tmp_path / "b.root", jets(3000, 1)),
        "signal": write_tree(tmp_path / "s.root", jets(500, 2)),
    }
    _, contract, shards = ingest(raw_config(files))
    train = read_split(shards, contract, "train")
    weight = train.weight * np.array(contract.class_weights)[train.label]
    assert weight[train.label == 0].sum() == pytest.approx(weight[train.label == 1].sum(), rel=1e-5)
    assert weight.mean() == pytest.approx(1, rel=1e-5)


def test_the_contract_is_the_same_after_a_round_trip(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, _ = ingest(raw_config(toy_files))
    assert Contract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract
    assert contract.to_dict()["inputs"][0] == {"branch": "jet_pt", "shape": ["batch", 1], "dtype": "float32"}


def test_the_log_ends_with_the_totals_and_the_time(
    ingest: Any, toy_files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    ingest(raw_config(toy_files))
    line = caplog.messages[-1]
    assert re.fullmatch(r"dataset: 3,000 examples, 1\d,\d{3} constituents, from 2 shards in \d+\.\d s", line), line


def failing(ingest: Any, tmp_path: Path, change: Any, **config: Any) -> str:
    columns = jets(300, 2)
    change(columns)
    files = {
        "background": write_tree(tmp_path / "b.root", jets(300, 1)),
        "signal": write_tree(tmp_path / "s.root", columns),
    }
    with pytest.raises(InputError) as error:
        ingest(raw_config(files, **config))
    assert not (tmp_path / "contract.json").exists()
    return str(error.value)


def test_an_empty_tree_is_named(ingest: Any, tmp_path: Path) -> None:
    def empty(columns: dict[str, Any]) -> None:
        columns.update({name: column[:0] for name, column in columns.items()})

    assert failing(ingest, tmp_path, empty) == "samples.signal: no events: its trees are empty"


def test_a_selection_that_nothing_passes_is_named(ingest: Any, tmp_path: Path) -> None:
    def light(columns: dict[str, Any]) -> None:
        columns["jet_mass"][:] = 1

    message = failing(ingest, tmp_path, light, selection="jet_mass > 5")
    assert message == "samples.signal: no events: none of its 300 events passes the selection (jet_mass > 5)"


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_sample_without_positive_weight_is_named(weight: float, ingest: Any, tmp_path: Path) -> None:
    def change(columns: dict[str, Any]) -> None:
        columns["genWeight"][:] = weight

    assert "samples.signal: the sum of weights 'genWeight' is" in failing(ingest, tmp_path, change)


def test_a_class_without_events_is_named(ingest: Any, tmp_path: Path) -> None:
    path = write_tree(tmp_path / "b.root", jets(300, 1))
    raw = raw_config({"background": path, "signal": path})
    raw["samples"]["signal"]["label"] = "background"
    with pytest.raises(InputError, match="classes: 'signal' has no events in any sample"):
        ingest(raw)


def test_a_feature_that_is_never_finite_is_named(ingest: Any, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files)
    raw["inputs"]["jet"]["features"].append("log(jet_pt - 9999)")
    with pytest.raises(InputError, match=r"the feature 'log\(jet_pt - 9999\)' is NaN or infinite for every training example"):
        ingest(raw)


def test_a_mask_that_holds_for_padding_is_refused(ingest: Any, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files)
    raw["inputs"]["pf"]["valid"] = "pf_pt >= 0"
    with pytest.raises(ValueError, match="'pf_pt >= 0' holds for zero padding too"):
        ingest(raw)
    raw["inputs"]["pf"]["valid"] = "jet_pt > 0"
    with pytest.raises(InputError, match=r"inputs.pf.valid: 'jet_pt > 0' has no value for each constituent"):
        ingest(raw)
    raw["inputs"]["pf"]["valid"] = "pf_pt"
    with pytest.raises(ConfigError, match="'pf_pt' is a number, not a condition"):
        ingest(raw)
