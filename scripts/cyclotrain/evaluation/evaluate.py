"""The physics of the exported model on the test split, beside the boosted trees and the variants of the model."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Contract
from cyclotrain.contract.results import (
    BOOSTED_TREES,
    MODEL,
    Calibration,
    CalibrationBin,
    Confusion,
    Curves,
    Evaluation,
    Figure,
    Overtraining,
    Performance,
    RocCurve,
    ScoreHistogram,
    WorkingPoint,
)
from cyclotrain.core.files import file_sha256
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import Examples, read_split
from cyclotrain.data.training_weights import training_weights
from cyclotrain.evaluation.regression import histograms as response_histograms
from cyclotrain.evaluation.regression import measure
from cyclotrain.metrics.calibration import calibration
from cyclotrain.metrics.kolmogorov import kolmogorov_smirnov
from cyclotrain.metrics.roc import Roc, roc_auc_and_rejections
from cyclotrain.runtimes.sessions import open_session, predict

_BATCH = 1024
_BINS = 40  # of the score histograms
_POINTS = 1000  # of a ROC curve that is drawn
_log = logging.getLogger(__name__)
Answers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Models:
    """What gives scores: the exported model, its variants by kind, and the boosted trees' probabilities (.npy)."""

    exported: str | Path
    variants: Mapping[str, str | Path]
    boosted_trees: str | Path


def evaluate(
    contract: Contract, models: Models, *, shards: Sequence[str], signal_efficiencies: Sequence[float], threads: int
) -> tuple[Evaluation, Curves]:
    """Measure the figures of `evaluation.json`, and the curves that plots are drawn from.

    Every score is the exported model's, through ONNX Runtime. Weights are the physics weights, each class normalised to
    itself. With more than two classes, the signal is compared with one background at a time, by p_signal / (p_signal +
    p_background). Regressed quantities are measured on the test examples that have them.
    """
    start = time.perf_counter()
    splits = ("train", "test") if contract.classes else ("test",)  # the training split is for what is said of classes
    examples = {split: read_split(shards, contract, split) for split in splits}
    test, n_classes = examples["test"], len(contract.classes)
    answers = {split: _predict(models.exported, rows, contract, threads) for split, rows in examples.items()}
    by_scorer = {MODEL: answers["test"]}
    by_scorer |= {kind: _predict(path, test, contract, threads) for kind, path in models.variants.items()}
    regression = {scorer: measure(contract, test, values) for scorer, values in by_scorer.items()} if contract.regression else {}
    evaluation = Evaluation(
        model_sha256=file_sha256(models.exported),
        test_examples=len(test),
        signal=contract.signal,
        performance={},
        rejection_loss={},
        confusion=None,
        overtraining={},
        regression=regression,
    )
    curves = Curves(roc=(), scores=(), responses=tuple(response_histograms(contract, test, by_scorer, regression)))
    if contract.classes:
        trees = np.load(models.boosted_trees)
        probabilities = {scorer: values[:, :n_classes] for scorer, values in by_scorer.items()}
        if trees.shape[1]:
            model = probabilities.pop(MODEL)
            probabilities = {MODEL: model, BOOSTED_TREES: trees, **probabilities}
        performance, roc_curves = _classification(contract, test, probabilities, signal_efficiencies)
        scores = {split: values[:, :n_classes] for split, values in answers.items()}
        evaluation = evaluation.model_copy(
            update={
                "performance": performance,
                "rejection_loss": {kind: _rejection_loss(performance[MODEL], performance[kind]) for kind in models.variants},
                "confusion": Confusion(classes=contract.classes, fraction=_confusion(test, scores["test"])),
                "overtraining": _overtraining(contract, examples, scores),
                "calibration": _calibration(contract, examples, scores["test"]),
            }
        )
        curves = curves.model_copy(update={"roc": roc_curves, "scores": tuple(_histograms(contract, examples, scores))})
    seconds = time.perf_counter() - start
    n = sum(map(len, examples.values()))
    _log.info("%s; %d examples in %.1f s", _in_words(evaluation), n, seconds)
    return evaluation, curves


def _predict(exported: str | Path, examples: Examples, contract: Contract, threads: int) -> Answers:
    """All outputs side by side."""
    batches = Batches(examples, contract.layout, _BATCH)
    return predict(open_session(exported, threads), (batch.branches for batch in batches))


def _classification(
    contract: Contract, test: Examples, probabilities: Mapping[str, Answers], efficiencies: Sequence[float]
) -> tuple[dict[str, dict[str, Performance]], tuple[RocCurve, ...]]:
    """Signal against each background, by what gives the probabilities."""
    performance: dict[str, dict[str, Performance]] = {}
    curves = []
    for scorer, values in probabilities.items():
        performance[scorer] = {}
        for background in (name for name in contract.classes if name != contract.signal):
            performance[scorer][background], roc = _performance(test, values, contract, background, efficiencies)
            curves.append(_thinned(roc, scorer, background))
    return performance, tuple(curves)


def _performance(
    test: Examples, probabilities: Answers, contract: Contract, background: str, efficiencies: Sequence[float]
) -> tuple[Performance, Roc]:
    """Signal against one background."""
    pair = [contract.signal_index, contract.classes.index(background)]
    rows = np.isin(test.label, pair)
    p_signal, p_background = (probabilities[rows, index].astype(np.float64) for index in pair)
    score = p_signal / np.maximum(p_signal + p_background, np.finfo(np.float32).tiny)
    curve, area, rejections = roc_auc_and_rejections(
        score, test.label[rows] == pair[0], weight=test.weight[rows], signal_efficiencies=efficiencies, seed=contract.seed
    )
    points = [
        WorkingPoint(signal_efficiency=efficiency, rejection=Figure(**asdict(rejection)))
        for efficiency, rejection in zip(efficiencies, rejections, strict=True)
    ]
    return Performance(auc=Figure(**asdict(area)), rejection=tuple(points)), curve


def _rejection_loss(model: Mapping[str, Performance], variant: Mapping[str, Performance]) -> float:
    """The largest fraction of the model's rejection that the variant loses, over backgrounds and working points."""
    losses = [0.0]
    for background, performance in variant.items():
        for ours, theirs in zip(performance.rejection, model[background].rejection, strict=True):
            if ours.rejection.value is not None:
                # a model that lets nothing through is infinitely better than a variant that does
                losses.append(1.0 if theirs.rejection.value is None else 1 - ours.rejection.value / theirs.rejection.value)
    return max(losses)


def _confusion(test: Examples, probabilities: Answers) -> tuple[tuple[float, ...], ...]:
    n = probabilities.shape[1]
    cells = np.bincount(test.label * n + probabilities.argmax(1), weights=test.weight, minlength=n * n).reshape(n, n)
    return tuple(map(tuple, (cells / cells.sum(axis=1, keepdims=True)).tolist()))


def _overtraining(contract: Contract, examples: Mapping[str, Examples], scores: Mapping[str, Answers]) -> dict[str, Overtraining]:
    """The signal probability of each class, training against test split."""
    signal = contract.signal_index
    tests = {}
    for index, name in enumerate(contract.classes):
        train, test = (examples[split].label == index for split in ("train", "test"))
        result = kolmogorov_smirnov(
            scores["train"][train, signal],
            scores["test"][test, signal],
            first_weights=examples["train"].weight[train],
            second_weights=examples["test"].weight[test],
        )
        tests[name] = Overtraining(ks_distance=result.distance, p_value=result.p_value)
    return tests


def _calibration(contract: Contract, examples: Mapping[str, Examples], probabilities: Answers) -> dict[str, Calibration]:
    """Of each class. The weights are those of the training, and the classes have the shares that they have there.

    A network learns these shares, and the test split may have others.
    """
    test, n = examples["test"], len(contract.classes)
    weights = {split: training_weights(rows, contract).astype(np.float64) for split, rows in examples.items()}
    sums = {split: np.bincount(rows.label, weights[split], n) for split, rows in examples.items()}
    weight = weights["test"] * np.divide(sums["train"], sums["test"], where=sums["test"] > 0, out=np.zeros(n))[test.label]
    measured = {
        name: calibration(probabilities[:, index], test.label == index, weight=weight)
        for index, name in enumerate(contract.classes)
    }
    return {
        name: Calibration(
            error=Figure(**asdict(one.error)),
            if_calibrated=one.if_calibrated,
            bins=tuple(CalibrationBin(**asdict(part)) for part in one.bins),
        )
        for name, one in measured.items()
    }


def _thinned(roc: Roc, scorer: str, background: str) -> RocCurve:
    """At most some _POINTS cuts: evenly spread in signal efficiency, and in the logarithm of background efficiency."""
    n = len(roc.signal)
    rows = np.arange(n)
    if n > _POINTS:
        smallest = roc.background[roc.background > 0].min()
        # negative weights let an efficiency fall
        rising_signal, rising_background = np.maximum.accumulate(roc.signal), np.maximum.accumulate(roc.background)
        by_signal = np.searchsorted(rising_signal, np.linspace(0, 1, _POINTS // 2))
        by_background = np.searchsorted(rising_background, np.geomspace(smallest, 1, _POINTS // 2))
        rows = np.unique(np.minimum(np.concatenate([[0], by_signal, by_background, [n - 1]]), n - 1))
    return RocCurve(
        scorer=scorer,
        background=background,
        signal_efficiency=tuple(roc.signal[rows].tolist()),
        background_efficiency=tuple(roc.background[rows].tolist()),
    )


def _histograms(contract: Contract, examples: Mapping[str, Examples], scores: Mapping[str, Answers]) -> Iterable[ScoreHistogram]:
    signal = contract.signal_index
    edges = np.linspace(0, 1, _BINS + 1)
    for index, name in enumerate(contract.classes):
        for split, rows in examples.items():
            in_class = rows.label == index
            values, weights = scores[split][in_class, signal], rows.weight[in_class].astype(np.float64)
            values = np.clip(values, 0, 1)  # a sum of exponentials may round above 1
            counts, squares = (np.histogram(values, edges, weights=w)[0] for w in (weights, weights**2))
            yield ScoreHistogram(
                class_name=name,
                split=split,
                edges=tuple(edges.tolist()),
                values=tuple((counts / counts.sum()).tolist()),
                variances=tuple((squares / counts.sum() ** 2).tolist()),
            )


def _in_words(evaluation: Evaluation) -> str:
    performances = evaluation.performance.get(MODEL, {}).items()
    aucs = [f"{performance.auc.value:.4f}{performance.auc_mark} against {name}" for name, performance in performances]
    parts = [f"AUC of {evaluation.signal} {', '.join(aucs)}"] * bool(aucs)
    for name, quantity in evaluation.regression.get(MODEL, {}).items():
        if quantity.bias and quantity.bias.value is not None and quantity.resolution:
            parts.append(f"{name}: bias {quantity.bias.value:.3g}, resolution {quantity.resolution.value:.3g}")
    return "; ".join(parts) or "nothing to measure"
