"""How well a model tells the classes apart, beside what it is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from cyclotrain.contract.results import MODEL, Confusion, Figure, Performance, RocCurve, WorkingPoint
from cyclotrain.evaluation.predictions import Scored
from cyclotrain.metrics.roc import Roc, roc_auc_and_rejections

_POINTS = 1000  # of a ROC curve that is drawn


def classification(
    test: Scored, scorers: Sequence[str], *, signal_efficiencies: Sequence[float]
) -> tuple[dict[str, dict[str, Performance]], tuple[RocCurve, ...]]:
    """Signal against each background, by what gives the probabilities.

    With more than two classes, the signal is compared with one background at a time, by p_signal / (p_signal + p_background).
    """
    performance: dict[str, dict[str, Performance]] = {}
    curves = []
    for scorer in scorers:
        performance[scorer] = {}
        for background in (name for name in test.contract.classes if name != test.contract.signal):
            performance[scorer][background], roc = _performance(test, scorer, background, signal_efficiencies)
            curves.append(_thinned(roc, scorer, background))
    return performance, tuple(curves)


def _performance(test: Scored, scorer: str, background: str, efficiencies: Sequence[float]) -> tuple[Performance, Roc]:
    """Signal against one background."""
    contract = test.contract
    pair = [contract.signal_index, contract.classes.index(background)]
    rows = np.isin(test.label, pair)
    p_signal, p_background = test.probabilities(scorer)[rows][:, pair].astype(np.float64).T
    score = p_signal / np.maximum(p_signal + p_background, np.finfo(np.float32).tiny)
    curve, area, rejections = roc_auc_and_rejections(
        score, test.label[rows] == pair[0], weight=test.weight[rows], signal_efficiencies=efficiencies, seed=contract.seed
    )
    points = [
        WorkingPoint(signal_efficiency=efficiency, rejection=Figure(**asdict(rejection)))
        for efficiency, rejection in zip(efficiencies, rejections, strict=True)
    ]
    return Performance(auc=Figure(**asdict(area)), rejection=tuple(points)), curve


def rejection_loss(model: Mapping[str, Performance], variant: Mapping[str, Performance]) -> float:
    """The largest fraction of the model's rejection that the variant loses, over backgrounds and working points."""
    losses = [0.0]
    for background, performance in variant.items():
        for ours, theirs in zip(performance.rejection, model[background].rejection, strict=True):
            if ours.rejection.value is not None:
                # a model that lets nothing through is infinitely better than a variant that does
                losses.append(1.0 if theirs.rejection.value is None else 1 - ours.rejection.value / theirs.rejection.value)
    return max(losses)


def confusion(test: Scored) -> Confusion:
    """The model's confusion matrix."""
    n = len(test.contract.classes)
    predicted = test.probabilities(MODEL).argmax(1)
    cells = np.bincount(test.label * n + predicted, weights=test.weight, minlength=n * n).reshape(n, n)
    fraction = tuple(map(tuple, (cells / cells.sum(axis=1, keepdims=True)).tolist()))
    return Confusion(classes=test.contract.classes, fraction=fraction)


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
