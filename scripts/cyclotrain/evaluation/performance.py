"""How well a model tells the classes apart, beside what it is compared with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cyclotrain.config.evaluation import EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL, Accuracy, Confusion, PairArea, Performance, RocCurve, WorkingPoint
from cyclotrain.evaluation.as_results import figure, known
from cyclotrain.evaluation.observers import ObserverStudy
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.evaluation.score_cells import Comparison, Key, Sample, cells_by_scorer
from cyclotrain.evaluation.working_points import mistag_cuts
from cyclotrain.metrics.confusion import ConfusionSums
from cyclotrain.metrics.efficiency import Shares
from cyclotrain.metrics.estimate import Estimate
from cyclotrain.metrics.roc import Cells, background_efficiencies, rejection

# where a curve is drawn: denser to the right, where the background efficiency rises fast
_CURVE = np.unique(np.concatenate([np.linspace(0.005, 1, 200), 1 - np.geomspace(0.005, 1e-4, 20)]))


@dataclass(frozen=True)
class Measured:
    """The parts of Evaluation and of Curves that are on performance, by the names of their fields."""

    evaluation: Mapping[str, Any]
    curves: Mapping[str, Any]


def measure(predictions: Predictions, contract: Contract, settings: EvaluationConfig, *, variants: Sequence[str]) -> Measured:
    """Measure the classification by each scorer on the test split, in passes over its blocks.

    Weights are the physics weights. Each class is normalised to itself; of all classes against one, the shares are those of the
    weights. Comparisons of more than 50,000 examples are summed in cells of the score, with edges from 200,000 examples
    (metrics/roc.py); the others are exact. A class without a positive sum of weights gives no figures. `variants`: the scorers
    that are not shown against observers.
    """
    pairs, rests = Comparison.with_each(contract), Comparison.with_rest(contract)
    comparisons = {scorer: [*pairs, *rests] for scorer in predictions.scorers}
    comparisons[MODEL] += Comparison.of_backgrounds(contract)
    sample = Sample.of(predictions, contract)
    cells = cells_by_scorer(predictions, sample, comparisons)
    confusions = _confusions(predictions)
    measured = {key: _roc(one, contract, settings) for key, one in cells.items() if key[0] in pairs or key[0] in rests}
    study = ObserverStudy.of(sample, contract, settings)
    shown = [scorer for scorer in predictions.scorers if scorer not in variants]
    evaluation = {
        "performance": {scorer: _by_name(contract, pairs, scorer, measured) for scorer in predictions.scorers},
        "against_rest": {scorer: _by_name(contract, rests, scorer, measured) for scorer in predictions.scorers if rests},
        "pairs": tuple(_pair_areas(contract, cells)),
        "accuracy": {scorer: _accuracy(sums) for scorer, sums in confusions.items()},
        "confusion": _confusion(contract.classes, confusions[MODEL]),
        "mistag_cuts": mistag_cuts(predictions, sample, settings, cells=cells, study=study),
    }
    curves = {
        "roc": tuple(_curves(contract, pairs, measured)),
        "against_rest": tuple(_curves(contract, rests, measured)),
        **study.measure(predictions, {key: one for key, one in cells.items() if key[0] in pairs and key[1] in shown}),
    }
    return Measured(evaluation, curves)


def rejection_loss(model: Mapping[str, Performance], variant: Mapping[str, Performance]) -> float:
    """The largest fraction of the model's rejection that the variant loses, over backgrounds and working points."""
    losses = [0.0]
    for background, performance in variant.items():
        for ours, theirs in zip(performance.rejection, model[background].rejection, strict=True):
            if ours.rejection.value is not None:
                # a model that lets nothing through is infinitely better than a variant that does
                losses.append(1.0 if theirs.rejection.value is None else 1 - ours.rejection.value / theirs.rejection.value)
    return max(losses)


@dataclass(frozen=True)
class _Roc:
    """The figures of a comparison, and its curve: background efficiencies at _CURVE; none if nothing is measured."""

    performance: Performance
    curve: Shares | None


def _roc(cells: Cells, contract: Contract, settings: EvaluationConfig) -> _Roc:
    efficiencies, curve = settings.signal_efficiencies, None
    points = [Estimate(None, None)] * len(efficiencies)
    if cells.is_measurable:
        at = np.concatenate([efficiencies, _CURVE])  # together, so that they have the same replicas
        measured = background_efficiencies(cells, at, seed=contract.seed)
        points = [measured.estimate(index) for index in range(len(efficiencies))]
        curve = Shares(*(x[len(efficiencies) :] for x in (measured.value, measured.uncertainty)))
    working_points = (
        WorkingPoint(signal_efficiency=efficiency, rejection=figure(rejection(point)))
        for efficiency, point in zip(efficiencies, points, strict=True)
    )
    return _Roc(Performance(auc=figure(cells.area()), rejection=tuple(working_points)), curve)


def _by_name(
    contract: Contract, comparisons: Sequence[Comparison], scorer: str, measured: Mapping[Key, _Roc]
) -> dict[str, Performance]:
    """By the background, or by the class that is compared with all others."""
    names = [one.background_name(contract) or contract.classes[one.signal] for one in comparisons]
    return {name: measured[one, scorer].performance for name, one in zip(names, comparisons, strict=True)}


def _curves(contract: Contract, comparisons: Sequence[Comparison], measured: Mapping[Key, _Roc]) -> Iterator[RocCurve]:
    for (comparison, scorer), roc in measured.items():
        if comparison in comparisons and roc.curve:
            yield RocCurve(
                scorer=scorer,
                signal=contract.classes[comparison.signal],
                background=comparison.background_name(contract),
                signal_efficiency=tuple(_CURVE.tolist()),
                background_efficiency=tuple(roc.curve.value.tolist()),
                uncertainty=tuple(roc.curve.uncertainty.tolist()),
            )


def _pair_areas(contract: Contract, cells: Mapping[Key, Cells]) -> Iterator[PairArea]:
    for one in Comparison.of_backgrounds(contract):
        first, second = contract.classes[one.signal], contract.classes[one.backgrounds[0]]
        yield PairArea(first=first, second=second, auc=figure(cells[one, MODEL].area()))


def _confusions(predictions: Predictions) -> dict[str, ConfusionSums]:
    by_scorer: dict[str, ConfusionSums] = {}
    for block in predictions.blocks():
        weight = block.weight.astype(np.float64)
        for scorer in predictions.scorers:
            sums = ConfusionSums.of(block.probabilities(scorer), block.label, weight=weight)
            by_scorer[scorer] = by_scorer[scorer] + sums if scorer in by_scorer else sums
    return by_scorer


def _accuracy(sums: ConfusionSums) -> Accuracy:
    return Accuracy(accuracy=figure(sums.accuracy()), balanced=figure(sums.balanced_accuracy()))


def _confusion(classes: tuple[str, ...], sums: ConfusionSums) -> Confusion:
    fractions = sums.fractions()
    value, uncertainty = (tuple(map(known, matrix)) for matrix in (fractions.value, fractions.uncertainty))
    return Confusion(classes=classes, fraction=value, uncertainty=uncertainty)
