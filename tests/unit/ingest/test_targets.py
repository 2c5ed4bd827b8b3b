"""Targets of regressed quantities: where they are, where they are not, and where they are wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import concatenate, iterate_split
from support.toys import jets, raw_config, skim_and_assemble, without_classes, write_tree


def toy_files(folder: Path, **signal: Any) -> dict[str, str]:
    """Two samples, of which only signal has the branch `gen_mass`."""
    generated = {"gen_mass": np.arange(1, 301, dtype=np.float32), **signal}
    return {
        "background": write_tree(folder / "background.root", jets(300, 1)),
        "signal": write_tree(folder / "signal.root", {**jets(300, 2, is_signal=True), **generated}),
    }


def targets(raw: dict[str, Any], folder: Path) -> tuple[np.ndarray, np.ndarray, Any]:
    """Label [n], targets [n, n_quantities] of all splits, and the contract."""
    _, contract, shards = skim_and_assemble(raw, folder)
    parts = [
        part
        for split in ("train", "validation", "test")
        for part in iterate_split(shards, contract.layout, split, normalisation=contract.normalisation, fold=None)
    ]
    examples = concatenate(parts, contract.layout)
    return examples.label, examples.targets, contract


@pytest.mark.parametrize("only", [{"classes": ["signal"]}, {"samples": ["signal"]}])
def test_a_sample_without_the_quantity_needs_no_branch_of_it(tmp_path: Path, only: dict[str, Any]) -> None:
    quantity = {"target": "2 * gen_mass", "against": ["gen_mass"], **only}
    raw = raw_config(toy_files(tmp_path), regression={"mass": quantity, "pt": {"target": "jet_pt"}})
    label, target, contract = targets(raw, tmp_path)
    assert np.isnan(target[label == 0, 0]).all()
    assert sorted(target[label == 1, 0]) == list(range(2, 602, 2))
    assert np.isfinite(target[:, 1]).all()
    mass = contract.regression[0]
    assert 200 < mass.offset < 400 and 100 < mass.scale < 250


def test_a_class_given_by_an_expression_has_the_quantity_example_by_example(tmp_path: Path) -> None:
    raw = raw_config(toy_files(tmp_path), regression={"pt": {"target": "jet_pt", "classes": ["signal"]}})
    raw["samples"]["signal"]["label"] = "event % 2"
    label, target, _ = targets(raw, tmp_path)
    assert 100 < (label == 1).sum() < 200
    np.testing.assert_array_equal(np.isfinite(target[:, 0]), label == 1)


def test_a_target_that_is_not_a_number_is_told_with_its_event(tmp_path: Path) -> None:
    mass = np.ones(300, np.float32)
    mass[[7, 9]] = -1
    files = toy_files(tmp_path, gen_mass=mass)
    raw = raw_config(files, regression={"mass": {"target": "log(gen_mass)", "classes": ["signal"]}})
    branches = jets(300, 2, is_signal=True)
    event = f"run 1, luminosityBlock {branches['luminosityBlock'][7]}, event {branches['event'][7]}"
    with pytest.raises(InputError) as failure:
        targets(raw, tmp_path)
    for text in (
        "regression.mass.target: 'log(gen_mass)' is NaN or infinite", "for 2 selected events of sample 'signal'",
        f"the first in the event {event}; ", "remove them in 'selection'",
    ):  # fmt: skip
        assert text in str(failure.value)
    raw["selection"] = "jet_pt > 0"
    raw["samples"]["signal"]["selection"] = "gen_mass > 0"
    targets(raw, tmp_path)


def test_a_ratio_to_nothing_is_refused(tmp_path: Path) -> None:
    raw = raw_config(toy_files(tmp_path), regression={"zero": {"target": "0 * jet_pt", "response": "ratio"}})
    with pytest.raises(InputError, match=r"regression.zero.target: '0 \* jet_pt' is 0, which 'response: ratio' divides by"):
        targets(raw, tmp_path)


def test_a_quantity_that_no_example_of_the_training_has_is_refused(tmp_path: Path) -> None:
    regression = {"mass": {"target": "gen_mass", "samples": ["signal"]}, "pt": {"target": "jet_pt"}}
    raw = without_classes(raw_config(toy_files(tmp_path), regression=regression))
    raw["samples"]["signal"]["split"] = "test"
    with pytest.raises(InputError, match=r"regression.mass: no example of the training split has it; check its 'classes'"):
        targets(raw, tmp_path)
