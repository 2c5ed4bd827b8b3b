"""Whether what a model says can be trusted: training against test split, calibration."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np

from cyclotrain.contract.results import MODEL, Calibration, CalibrationBin, Figure, Overtraining, ScoreHistogram
from cyclotrain.evaluation.predictions import Scored
from cyclotrain.metrics.calibration import calibration
from cyclotrain.metrics.kolmogorov import kolmogorov_smirnov

_BINS = 40  # of the score histograms


def overtraining(splits: Mapping[str, Scored]) -> dict[str, Overtraining]:
    """The signal probability of each class, training against test split."""
    contract, tests = splits["test"].contract, {}
    scores = {split: rows.probabilities(MODEL)[:, contract.signal_index] for split, rows in splits.items()}
    for index, name in enumerate(contract.classes):
        train, test = (splits[split].label == index for split in ("train", "test"))
        result = kolmogorov_smirnov(
            scores["train"][train],
            scores["test"][test],
            first_weights=splits["train"].weight[train],
            second_weights=splits["test"].weight[test],
        )
        tests[name] = Overtraining(ks_distance=result.distance, p_value=result.p_value)
    return tests


def calibrations(splits: Mapping[str, Scored]) -> dict[str, Calibration]:
    """Of each class. The weights are those of the training, and the classes have the shares that they have there.

    A network learns these shares, and the test split may have others.
    """
    test, n = splits["test"], len(splits["test"].contract.classes)
    sums = {split: np.bincount(rows.label, rows.training_weight.astype(np.float64), n) for split, rows in splits.items()}
    factors = np.divide(sums["train"], sums["test"], where=sums["test"] > 0, out=np.zeros(n))
    weight = test.training_weight.astype(np.float64) * factors[test.label]
    measured = {
        name: calibration(test.probabilities(MODEL)[:, index], test.label == index, weight=weight)
        for index, name in enumerate(test.contract.classes)
    }
    return {
        name: Calibration(
            error=Figure(**asdict(one.error)),
            if_calibrated=one.if_calibrated,
            bins=tuple(CalibrationBin(**asdict(part)) for part in one.bins),
        )
        for name, one in measured.items()
    }


def score_histograms(splits: Mapping[str, Scored]) -> Iterator[ScoreHistogram]:
    """The signal probability of each class in each split."""
    contract = splits["test"].contract
    edges = np.linspace(0, 1, _BINS + 1)
    for index, name in enumerate(contract.classes):
        for split, rows in splits.items():
            in_class = rows.label == index
            values = rows.probabilities(MODEL)[in_class, contract.signal_index]
            weights = rows.weight[in_class].astype(np.float64)
            values = np.clip(values, 0, 1)  # a sum of exponentials may round above 1
            counts, squares = (np.histogram(values, edges, weights=w)[0] for w in (weights, weights**2))
            yield ScoreHistogram(
                class_name=name,
                split=split,
                edges=tuple(edges.tolist()),
                values=tuple((counts / counts.sum()).tolist()),
                variances=tuple((squares / counts.sum() ** 2).tolist()),
            )
