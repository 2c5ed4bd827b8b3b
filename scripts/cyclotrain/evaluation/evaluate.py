"""The physics of the exported model on the test split, beside the boosted trees and the variants of the model."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cyclotrain.config import VARIANT_KINDS, EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL, ComparedModel, Curves, Evaluation, Regression, ResponseHistogram
from cyclotrain.core.files import file_sha256
from cyclotrain.evaluation import regression
from cyclotrain.evaluation.performance import measure, rejection_loss
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.evaluation.sculpting import sculpting
from cyclotrain.evaluation.trust import calibrations, overtraining

_log = logging.getLogger(__name__)


def evaluate(
    contract: Contract,
    predictions: Mapping[str, Predictions],
    *,
    model: str | Path,
    settings: EvaluationConfig,
    compared: Sequence[ComparedModel] = (),
) -> tuple[Evaluation, Curves]:
    """Measure the figures of `evaluation.json`, and the curves that plots are drawn from.

    predictions: of the splits `train` and `test`; model: the exported file that they are of. Weights are the physics weights,
    each class normalised to itself. Regressed quantities are measured on the test examples that have them, as the model and its
    variants estimate them. compared: the earlier models among the scorers.
    """
    start = time.perf_counter()
    test = predictions["test"]
    variants = [scorer for scorer in test.scorers if scorer in VARIANT_KINDS]
    regressions: dict[str, dict[str, Regression]] = {}
    responses: tuple[ResponseHistogram, ...] = ()
    if contract.regression:
        whole = test.whole()
        regressions = {scorer: regression.measure(whole, scorer) for scorer in (MODEL, *variants)}
        responses = tuple(regression.histograms(whole, regressions))
    evaluation = Evaluation(
        model_sha256=file_sha256(model),
        test_examples=len(test),
        signal=contract.signal,
        performance={},
        rejection_loss={},
        confusion=None,
        overtraining={},
        regression=regressions,
    )
    curves = Curves(roc=(), scores=(), responses=responses)
    if contract.classes:
        measured = measure(test, contract, settings, variants=variants)
        performance = measured.evaluation["performance"]
        overtrained, scores = overtraining(predictions)
        sculpted, distributions = sculpting(
            test,
            signal_efficiencies=settings.signal_efficiencies,
            mistags=sorted({*settings.working_points.mistag.values()}, reverse=True),
        )
        evaluation = evaluation.model_copy(
            update={
                **measured.evaluation,
                "compared": tuple(compared),
                "rejection_loss": {kind: rejection_loss(performance[MODEL], performance[kind]) for kind in variants},
                "overtraining": overtrained,
                "calibration": calibrations(predictions),
                "sculpting": sculpted,
            }
        )
        shown = {**measured.curves, "scores": tuple(scores), "sculpting": tuple(distributions)}
        curves = curves.model_copy(update=shown)
    _log.info("%s; %d test examples in %.1f s", _in_words(evaluation), len(test), time.perf_counter() - start)
    return evaluation, curves


def _in_words(evaluation: Evaluation) -> str:
    performances = evaluation.performance.get(MODEL, {}).items()
    aucs = [f"{performance.auc_in_words} against {name}" for name, performance in performances]
    parts = [f"AUC of {evaluation.signal} {', '.join(aucs)}"] * bool(aucs)
    for name, quantity in evaluation.regression.get(MODEL, {}).items():
        if quantity.bias and quantity.bias.value is not None and quantity.resolution:
            parts.append(f"{name}: bias {quantity.bias.value:.3g}, resolution {quantity.resolution.value:.3g}")
    return "; ".join(parts) or "nothing to measure"
