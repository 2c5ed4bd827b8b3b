"""The physics of the exported model on the test split: ROC, rejection, confusion, overtraining; and the boosted trees'."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import kolmogorov

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.files import file_sha256, read_json_lines, write_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import Examples, read_split
from cyclotrain.metrics.roc import Roc, figures
from cyclotrain.report import plots
from cyclotrain.runtimes.sessions import predict, session

_BATCH = 1024
Probabilities = npt.NDArray[np.float32]


def evaluate(
    contract: Contract,
    settings: config.EvaluationConfig,
    exported: str | Path,
    variants: Mapping[str, str | Path],
    rejection_losses: Mapping[str, float],
    shards: Sequence[str],
    baseline: str | Path,
    history: str | Path,
    threads: int,
    result: str | Path,
    folder: str | Path,
) -> None:
    """Write `result` (JSON), and the plots roc, scores, confusion and history as PNG into `folder`.

    Every score is the exported model's, through ONNX Runtime. Weights are the physics weights, each class normalised to
    itself. With more than two classes, signal and one background at a time, by p_signal / (p_signal + p_background).
    `rejection_losses`: of each of the `variants`, the largest fraction of the model's background rejection that it may lose.
    """
    made = session(exported, threads)
    examples = {split: read_split(shards, contract, split) for split in ("train", "test")}
    scores = {
        split: predict(made, (batch.branches for batch in Batches(of, contract.layout, _BATCH))) for split, of in examples.items()
    }
    test, trees = examples["test"], np.load(baseline)
    signal = contract.classes.index(contract.signal)
    curves: dict[str, dict[str, Roc]] = {}
    backgrounds = {}
    for index, name in enumerate(contract.classes):
        if index != signal:
            of_model, roc = _against(test, scores["test"], signal, index, settings.signal_efficiencies, contract.seed)
            backgrounds[name], curves[name] = {"model": of_model}, {"model": roc}
            if trees.shape[1]:
                of_trees, roc = _against(test, trees, signal, index, settings.signal_efficiencies, contract.seed)
                backgrounds[name]["boosted_trees"], curves[name]["boosted trees"] = of_trees, roc
    overtraining = {}
    for index, name in enumerate(contract.classes):
        rows = {split: of.label == index for split, of in examples.items()}
        samples = [(scores[split][rows[split], signal], of.weight[rows[split]]) for split, of in examples.items()]
        overtraining[name] = _kolmogorov(*samples)
    confusion = _confusion(test, scores["test"])
    failed = [
        f"{name}: AUC {of['model']['auc']['value']:.4f} is below evaluation.minimum_auc = {settings.minimum_auc}"
        for name, of in backgrounds.items()
        if settings.minimum_auc is not None and of["model"]["auc"]["value"] < settings.minimum_auc
    ]
    compared = {}
    for kind, path in variants.items():
        of_variant = predict(session(path, threads), (batch.branches for batch in Batches(test, contract.layout, _BATCH)))
        compared[kind] = {
            **_compared(test, of_variant, contract, settings.signal_efficiencies, backgrounds),
            "allowed_loss": rejection_losses[kind],
        }
        if compared[kind]["rejection_loss"] > rejection_losses[kind]:
            failed.append(
                f"{kind}: loses {compared[kind]['rejection_loss']:.1%} of the background rejection, and "
                f"export.variants.{kind}.rejection_loss allows {rejection_losses[kind]:.1%}"
            )
    content = {
        "passed": not failed,
        "failed": failed,
        "minimum_auc": settings.minimum_auc,
        "model_sha256": file_sha256(exported),
        "test_examples": len(test),
        "signal": contract.signal,
        "backgrounds": backgrounds,
        "variants": compared,
        "confusion": {
            "rows": "true class",
            "columns": "largest probability",
            "classes": contract.classes,
            "fraction": confusion,
        },
        "overtraining": overtraining,
    }
    write_json(result, content)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plots.roc(curves, backgrounds, contract.signal, folder / "roc.png")
    plots.scores(scores, examples, contract, overtraining, folder / "scores.png")
    plots.confusion(np.array(confusion), contract.classes, folder / "confusion.png")
    plots.history(read_json_lines(history), folder / "history.png")


def _against(
    test: Examples, probabilities: Probabilities, signal: int, background: int, efficiencies: Sequence[float], seed: int
) -> tuple[dict[str, Any], Roc]:
    rows = np.isin(test.label, (signal, background))
    p_signal, p_background = (probabilities[rows, index].astype(np.float64) for index in (signal, background))
    score = p_signal / np.maximum(p_signal + p_background, np.finfo(np.float32).tiny)
    curve, area, rejections = figures(score, test.label[rows] == signal, test.weight[rows], efficiencies, seed)
    content = {
        "auc": asdict(area),
        "rejection": [{"signal_efficiency": e, **asdict(r)} for e, r in zip(efficiencies, rejections, strict=True)],
    }
    return content, curve


def _compared(
    test: Examples,
    probabilities: Probabilities,
    contract: Contract,
    efficiencies: Sequence[float],
    of_model: Mapping[str, Any],
) -> dict[str, Any]:
    """A variant's rejection beside the model's on the same examples, and the largest loss; none where no background is left."""
    signal = contract.classes.index(contract.signal)
    losses, rejections = [0.0], {}
    for name in of_model:
        content, _ = _against(test, probabilities, signal, contract.classes.index(name), efficiencies, contract.seed)
        rejections[name] = content["rejection"]
        for ours, theirs in zip(content["rejection"], of_model[name]["model"]["rejection"], strict=True):
            if ours["value"] is not None:
                # a model that lets nothing through is infinitely better than a variant that does
                losses.append(1.0 if theirs["value"] is None else 1 - ours["value"] / theirs["value"])
    return {"rejection_loss": max(losses), "rejection": rejections}


def _confusion(test: Examples, probabilities: Probabilities) -> list[list[float]]:
    n = probabilities.shape[1]
    cells = np.bincount(test.label * n + probabilities.argmax(1), weights=test.weight, minlength=n * n).reshape(n, n)
    fractions: list[list[float]] = (cells / cells.sum(axis=1, keepdims=True)).tolist()
    return fractions


Weighted = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]


def _kolmogorov(train: Weighted, test: Weighted) -> dict[str, float]:
    """Kolmogorov-Smirnov distance of two weighted samples (values, weights), and its asymptotic p-value.

    With effective numbers of events (sum w)^2 / sum w^2 in place of the numbers, as ROOT's TH1 does.
    """
    edges = np.sort(np.concatenate([train[0], test[0]]))
    cumulative, effective = [], []
    for values, weights in (train, test):
        order = np.argsort(values)
        total = np.append(0.0, np.cumsum(weights[order], dtype=np.float64))
        cumulative.append(total[np.searchsorted(values[order], edges, side="right")] / total[-1])
        effective.append(weights.sum(dtype=np.float64) ** 2 / np.sum(weights.astype(np.float64) ** 2))
    distance = float(np.abs(cumulative[0] - cumulative[1]).max())
    n = effective[0] * effective[1] / (effective[0] + effective[1])
    return {"ks_distance": distance, "p_value": float(kolmogorov(distance * np.sqrt(n)))}
