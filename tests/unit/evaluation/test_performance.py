"""The classification of a test split with known scores, against scikit-learn, whatever the number of examples and of classes."""

import logging
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Contract, Observer
from cyclotrain.contract.results import BOOSTED_TREES, MODEL, Curves, Evaluation
from cyclotrain.evaluation import predictions as predictions_module
from cyclotrain.evaluation import score_cells
from cyclotrain.evaluation.performance import measure
from cyclotrain.evaluation.predictions import Predictions
from support.scored import contract_of, stored

TWO, THREE = contract_of(("qcd", "top")), contract_of(("qcd", "w", "top"))
SETTINGS = EvaluationConfig(working_points={"observer": "jet_pt"})


def measured(
    predictions: Predictions, contract: Contract, settings: EvaluationConfig = SETTINGS, variants: tuple[str, ...] = ()
) -> tuple[Evaluation, Curves]:
    """As the results have it, written to JSON and read back."""
    parts = measure(predictions, contract, settings, variants=variants)
    evaluation = Evaluation(
        model_sha256="0", test_examples=len(predictions), signal=contract.signal, rejection_loss={}, overtraining={},
        **parts.evaluation,
    )  # fmt: skip
    curves = Curves(scores=(), **parts.curves)
    return Evaluation.model_validate_json(evaluation.model_dump_json()), Curves.model_validate_json(curves.model_dump_json())


def test_areas_and_accuracy_of_each_scorer_are_those_of_scikit_learn(tmp_path: Path) -> None:
    predictions = stored(THREE, tmp_path, n=3000)
    evaluation, _ = measured(predictions, THREE)
    test, figures = predictions.whole(), evaluation.figures()
    for scorer, ending in ((MODEL, ""), (BOOSTED_TREES, ".boosted_trees")):
        p, label, weight = test.probabilities(scorer).astype(np.float64), test.label, test.weight.astype(np.float64)
        for index, name in enumerate(THREE.classes):
            score = p[:, index] / p.sum(axis=1)
            area = roc_auc_score(label == index, score, sample_weight=weight)
            assert figures[f"auc.{name}.vs_rest{ending}"].value == pytest.approx(area, abs=1e-9)
        for index, name in enumerate(("qcd", "w")):
            rows = np.isin(label, (index, 2))
            score = p[rows, 2] / (p[rows, 2] + p[rows, index])
            area = roc_auc_score(label[rows] == 2, score, sample_weight=weight[rows])
            assert figures[f"auc.{name}{ending}"].value == pytest.approx(area, abs=1e-9)
        expected = accuracy_score(label, p.argmax(axis=1), sample_weight=weight)
        assert figures[f"accuracy{ending}"].value == pytest.approx(expected, abs=1e-9)
    matrix = confusion_matrix(
        test.label, test.probabilities(MODEL).argmax(axis=1), sample_weight=test.weight.astype(np.float64), normalize="true"
    )
    assert evaluation.confusion and np.array(evaluation.confusion.fraction) == pytest.approx(matrix, abs=1e-9)
    rows = test.label < 2
    score = test.probabilities(MODEL)[rows].astype(np.float64)
    area = roc_auc_score(test.label[rows] == 0, score[:, 0] / score[:, :2].sum(axis=1), sample_weight=test.weight[rows])
    assert figures["auc.qcd.vs_w"].value == pytest.approx(area, abs=1e-7)


def test_every_figure_has_a_name_and_an_uncertainty(tmp_path: Path) -> None:
    figures = measured(stored(THREE, tmp_path), THREE)[0].figures()
    assert {
        "auc.qcd", "auc.w", "rejection.qcd.at_0.3", "auc.top.vs_rest", "rejection.w.vs_rest.at_0.5", "auc.qcd.vs_w",
        "efficiency.qcd.at_mistag_0.01", "efficiency.top.vs_rest.at_mistag_0.1", "accuracy", "balanced_accuracy.boosted_trees",
    } <= figures.keys()  # fmt: skip
    assert all(figure.value is None or (figure.uncertainty or 0) > 0 for figure in figures.values())
    two = measured(stored(TWO, tmp_path / "two"), TWO)[0].figures()
    assert not [name for name in two if "vs_" in name]  # it would say the same again


def test_blocks_give_the_same_as_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = stored(THREE, tmp_path)
    whole = measured(predictions, THREE)
    monkeypatch.setattr(predictions_module, "_BLOCK", 300)
    blocks = measured(predictions, THREE)
    for one, other in zip(whole, blocks, strict=True):
        assert _close(one.model_dump(), other.model_dump())


def _close(one: Any, other: Any) -> bool:
    """Whether nested results agree to 1e-9."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_close, one, other))
    return one == pytest.approx(other, abs=1e-9) if isinstance(one, float) else one == other


def test_sums_in_cells_agree_with_the_exact_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = stored(THREE, tmp_path, n=30_000)
    settings = EvaluationConfig(bins={"jet_pt": [500, 600, 700, 900, 2000], "pileup": [20, 30, 40, 60]})
    exact, exact_curves = measured(predictions, THREE, settings)
    monkeypatch.setattr(score_cells, "_EXACT", 0)
    monkeypatch.setattr(score_cells, "_SAMPLE", 10_000)
    cells, curves = measured(predictions, THREE, settings)
    assert exact.figures().keys() == cells.figures().keys()
    for name, figure in exact.figures().items():
        other = cells.figures()[name]
        assert (figure.value is None) == (other.value is None), name
        if figure.value is not None and figure.uncertainty and other.value is not None:
            assert abs(other.value - figure.value) < 0.15 * figure.uncertainty, name
            assert other.uncertainty == pytest.approx(figure.uncertainty, rel=0.3), name
    for one, other in zip(exact_curves.observers, curves.observers, strict=True):
        assert other.signal.value == pytest.approx(one.signal.value, abs=2e-3)


def test_memory_does_not_grow_with_the_number_of_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions_module, "_BLOCK", 2**13)
    monkeypatch.setattr(score_cells, "_EXACT", 1000)
    monkeypatch.setattr(score_cells, "_SAMPLE", 5000)
    peaks = []
    for n in (2**15, 2**18):
        predictions = stored(TWO, tmp_path / str(n), n=n)
        tracemalloc.start()
        measured(predictions, TWO)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_efficiencies_against_an_observer_are_those_of_the_cut_in_its_bins(tmp_path: Path) -> None:
    predictions = stored(TWO, tmp_path, n=4000)
    _, curves = measured(predictions, TWO)
    test, bins = predictions.whole(), curves.observer_bins["jet_pt"]
    score = test.probabilities(MODEL)[:, 1].astype(np.float64)
    assert len(bins.edges) == 11 and {sum(counts) for counts in zip(*bins.examples.values(), strict=True)} == {400}
    (one,) = (
        one for one in curves.observers
        if (one.observer, one.scorer, one.signal_efficiency) == ("jet_pt", MODEL, 0.5)
    )  # fmt: skip
    for index, (low, high) in enumerate(zip(bins.edges[:-1], bins.edges[1:], strict=True)):
        in_bin = (test.observer("jet_pt") >= low) & (test.observer("jet_pt") < high if index < 9 else True)
        for label, points in ((1, one.signal), (0, one.backgrounds)):
            rows = in_bin & (test.label == label)
            weight = test.weight[rows].astype(np.float64)
            assert points.value[index] == pytest.approx(weight[score[rows] >= one.threshold].sum() / weight.sum(), abs=1e-6)
    signal = test.label == 1
    kept = test.weight[signal & (score >= one.threshold)].sum() / test.weight[signal].sum()
    assert kept == pytest.approx(0.5, abs=2e-3)


def test_variants_are_not_shown_against_observers(tmp_path: Path) -> None:
    _, curves = measured(stored(TWO, tmp_path), TWO, variants=(BOOSTED_TREES,))
    assert {one.scorer for one in curves.observers} == {MODEL}


def test_an_observer_without_finite_values_is_told_and_breaks_nothing(tmp_path: Path, caplog: Any) -> None:
    pt = np.where(np.arange(2000) % 4 == 0, np.nan, 500.0 + np.arange(2000))
    predictions = stored(TWO, tmp_path, **{"observer:jet_pt": pt, "observer:n_pv": np.full(2000, np.nan)})
    with caplog.at_level(logging.WARNING):
        _, curves = measured(predictions, TWO)
    assert "observer 'jet_pt' is not finite for 500 of 2000 test examples" in caplog.text
    assert "observer 'pileup' has no two different finite values" in caplog.text
    assert curves.observer_bins["jet_pt"].not_finite == 500 and curves.observer_bins["pileup"].edges == ()
    assert {one.observer for one in curves.observers} == {"jet_pt"}


def test_a_bin_with_no_examples_or_no_weight_is_not_measured(tmp_path: Path) -> None:
    pt, weight = np.repeat([100.0, 200.0], 1000), np.repeat([1.0, 0.0], 1000)
    predictions = stored(TWO, tmp_path, **{"observer:jet_pt": pt, "weight": weight})
    settings = EvaluationConfig(bins={"jet_pt": [50, 150, 250, 350]}, working_points={"observer": "jet_pt"})
    evaluation, curves = measured(predictions, TWO, settings)
    assert all(one.signal.value[1:] == (None, None) for one in curves.observers if one.observer == "jet_pt")
    assert all(one.signal.value[0] is not None for one in curves.observers if one.observer == "jet_pt")
    assert [cut.threshold is None for cut in evaluation.mistag_cuts[0].in_bins if cut.name == "loose"] == [False, True, True]


@pytest.mark.parametrize("how", ["missing", "without weight"])
def test_a_class_that_the_test_split_lacks_gives_no_figures(tmp_path: Path, how: str) -> None:
    label = np.where(np.arange(2000) % 2 == 0, 0, 2) if how == "missing" else np.arange(2000) % 3
    weight = np.where(label == 1, 0.0, 1.0)
    evaluation, curves = measured(stored(THREE, tmp_path, label=label.astype(np.int32), weight=weight), THREE)
    figures = evaluation.figures()
    assert evaluation.missing_classes == ("w",) and "not measured: w" in (evaluation.note or "")
    assert (
        figures["auc.w"].value is None and figures["auc.w.vs_rest"].value is None and figures["rejection.w.at_0.3"].value is None
    )
    assert figures["auc.qcd"].value is not None and figures["auc.top.vs_rest"].value is not None
    assert figures["balanced_accuracy"].value is None and figures["accuracy"].value is not None
    assert {curve.background for curve in curves.roc} == {"qcd"}


def test_without_observers_there_are_no_bins(tmp_path: Path) -> None:
    contract = contract_of(("qcd", "top"), (Observer("jet_pt", "jet_pt", "pt"),))
    without = Contract(**{**vars(contract), "observers": ()})
    _, curves = measured(stored(contract, tmp_path), without, EvaluationConfig())
    assert curves.observers == () and curves.observer_bins == {}


def test_cuts_keep_at_most_the_declared_share_of_background_in_each_bin(tmp_path: Path) -> None:
    predictions = stored(TWO, tmp_path, n=8000)
    evaluation, _ = measured(predictions, TWO)
    (pair,) = evaluation.mistag_cuts
    test = predictions.whole()
    score, pt = test.probabilities(MODEL)[:, 1], test.observer("jet_pt")
    for cut in (*pair.cuts, *pair.in_bins):
        if cut.mistag < 0.01 and cut.low is not None:
            continue  # of 400 examples in a bin, less than one
        assert cut.threshold is not None and cut.background_efficiency.value is not None
        inside = (pt >= (cut.low or 0)) & (pt < (cut.high or np.inf))
        background, signal = inside & (test.label == 0), inside & (test.label == 1)
        kept = [test.weight[rows & (score >= cut.threshold)].sum() / test.weight[rows].sum() for rows in (background, signal)]
        assert 0 < kept[0] <= cut.mistag + 1e-6
        assert cut.background_efficiency.value == pytest.approx(kept[0], abs=3e-3)
        assert cut.signal_efficiency.value == pytest.approx(kept[1], abs=3e-3)
        # another test split would have another threshold
        assert cut.at_mistag.value == pytest.approx(cut.signal_efficiency.value, abs=1e-9)
        assert (cut.at_mistag.uncertainty or 0) > (cut.signal_efficiency.uncertainty or 1)
