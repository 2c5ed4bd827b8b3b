"""The figures of performance, with two and with ten classes, without a class, and without bins."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract.results import Curves, Evaluation
from cyclotrain.evaluation.performance import measure
from cyclotrain.report.plots import performance
from support.scored import contract_of, stored

MANY = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbl", "Tbqq")
SETTINGS = EvaluationConfig(working_points={"observer": "jet_pt"})


def results(classes: tuple[str, ...], folder: Path, **columns: np.ndarray) -> tuple[Evaluation, Curves]:
    contract = contract_of(classes)
    parts = measure(stored(contract, folder, n=3000, **columns), contract, SETTINGS, variants=())
    evaluation = Evaluation(
        model_sha256="0", test_examples=3000, signal=contract.signal, rejection_loss={}, overtraining={}, **parts.evaluation
    )
    return evaluation, Curves(scores=(), **parts.curves)


def drawn(evaluation: Evaluation, curves: Curves, folder: Path) -> dict[str, list[str]]:
    """The names of the tables of each figure."""
    paths, tables = {}, {}
    for name, arguments in (
        ("roc", {"curves": curves}), ("roc_against_rest", {"curves": curves}), ("areas", {}), ("confusion", {}),
        ("against_observer", {"curves": curves, "observer": "jet_pt"}), ("working_points", {"curves": curves}),
    ):  # fmt: skip
        if evaluation.against_rest or name not in ("roc_against_rest", "areas"):
            paths[name] = folder / f"{name}.png"
            found = list(getattr(performance, name)(evaluation, paths=[paths[name]], **arguments))
            tables[name] = [table.name for table in found]
            assert all(len({len(column.values) for column in table.columns}) == 1 for table in found)
            assert matplotlib.image.imread(paths[name])[..., :3].std() > 0.03
    return tables


@pytest.mark.parametrize("classes", [("qcd", "top"), MANY], ids=["two", "ten"])
def test_every_comparison_is_drawn_with_its_numbers(tmp_path: Path, classes: tuple[str, ...]) -> None:
    tables = drawn(*results(classes, tmp_path), tmp_path)
    n = len(classes)
    assert len(tables["roc"]) == 2 * 2 * (n - 1)  # curve and working points of two scorers
    assert len(tables["against_observer"]) == 2 * 2 * (n - 1)  # two cuts of two scorers
    assert len(tables["working_points"]) == 3 * (n if n > 2 else 1)  # with the rest
    if n > 2:
        assert len(tables["roc_against_rest"]) == 2 * 2 * n and tables["areas"] == ["AUC by class"]


def test_a_class_that_is_missing_leaves_its_panel_empty(tmp_path: Path) -> None:
    label = np.where(np.arange(3000) % 2 == 0, 0, 2).astype(np.int32)
    tables = drawn(*results(("qcd", "w", "top"), tmp_path, label=label), tmp_path)
    assert all("against w" not in name for name in tables["roc"])


def test_an_observer_of_one_value_or_without_any_is_drawn_empty(tmp_path: Path) -> None:
    tables = drawn(*results(("qcd", "top"), tmp_path, **{"observer:jet_pt": np.full(3000, np.nan)}), tmp_path)
    assert tables["against_observer"] == [] and tables["working_points"] == []
