"""Whether what a model says can be trusted: training against test split, calibration."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from cyclotrain.contract.results import MODEL, Calibration, CalibrationBin, Figure, Overtraining, ScoreHistogram
from cyclotrain.evaluation.predictions import Predictions, Scored
from cyclotrain.metrics.calibration import CalibrationSums
from cyclotrain.metrics.chi_square import chi_square
from cyclotrain.metrics.kolmogorov import kolmogorov_smirnov_of_sums
from cyclotrain.metrics.score_bins import N_BINS, score_bin

_EDGES = np.linspace(0, 1, 41)  # of the score histograms

Doubles = npt.NDArray[np.float64]


def overtraining(splits: Mapping[str, Predictions]) -> tuple[dict[str, Overtraining], list[ScoreHistogram]]:
    """The signal probability of each class, training against test split, and its histograms."""
    contract = splits["test"].contract
    tests, histograms = {}, []
    sums = {split: _ScoreSums.of(predictions) for split, predictions in splits.items()}
    for index, name in enumerate(contract.classes):
        train, test = sums["train"], sums["test"]
        smirnov = kolmogorov_smirnov_of_sums(
            train.narrow[index],
            test.narrow[index],
            first_squares=float(train.squares[index].sum()),
            second_squares=float(test.squares[index].sum()),
        )
        chi = chi_square(
            train.counts[index],
            test.counts[index],
            first_variance=train.squares[index],
            second_variance=test.squares[index],
        )
        tests[name] = Overtraining(
            ks_distance=smirnov.distance,
            p_value=smirnov.p_value,
            chi_square=chi.value,
            degrees=chi.degrees,
            chi2_p_value=chi.p_value,
        )
        histograms += [one.histogram(index, name, split) for split, one in sums.items()]
    return tests, histograms


class _ScoreSums:
    """Sums of the physics weights by class and score, over one split.

    narrow [n_classes, N_BINS], in metrics.score_bins; counts and squares [n_classes, 40], in the bins that are drawn.
    """

    def __init__(self, n_classes: int) -> None:
        self.narrow = np.zeros((n_classes, N_BINS))
        self.counts, self.squares = (np.zeros((n_classes, len(_EDGES) - 1)) for _ in range(2))

    @classmethod
    def of(cls, predictions: Predictions) -> "_ScoreSums":
        sums = cls(len(predictions.contract.classes))
        for block in predictions.blocks():
            sums.add(block)
        return sums

    def add(self, block: Scored) -> None:
        n, signal, weight = len(self.narrow), block.contract.signal_index, block.weight.astype(np.float64)
        probabilities = block.probabilities(MODEL)
        score = probabilities[:, signal]
        # from the others, because float32 tells no score from 1 beyond 1 - 6e-8
        narrow = score_bin(score, np.delete(probabilities, signal, axis=1).sum(axis=1))
        # a sum of exponentials may round above 1
        wide = np.minimum(np.searchsorted(_EDGES, score, side="right") - 1, len(_EDGES) - 2)
        self.narrow += np.bincount(block.label * N_BINS + narrow, weight, n * N_BINS).reshape(n, -1)
        place = block.label * (len(_EDGES) - 1) + wide
        for sums, values in ((self.counts, weight), (self.squares, weight**2)):
            sums += np.bincount(place, values, sums.size).reshape(n, -1)

    def histogram(self, index: int, name: str, split: str) -> ScoreHistogram:
        """That of a class, normalised to 1; one without weights stays 0."""
        total = float(self.counts[index].sum()) or 1.0
        return ScoreHistogram(
            class_name=name,
            split=split,
            edges=tuple(_EDGES.tolist()),
            values=tuple((self.counts[index] / total).tolist()),
            variances=tuple((self.squares[index] / total**2).tolist()),
        )


def calibrations(splits: Mapping[str, Predictions]) -> dict[str, Calibration]:
    """Of each class. The weights are those of the training, and the classes have the shares that they have there.

    A network learns these shares, and the test split may have others.
    """
    test, n = splits["test"], len(splits["test"].contract.classes)
    sums = {split: _training_weights(predictions) for split, predictions in splits.items()}
    factors = np.divide(sums["train"], sums["test"], where=sums["test"] > 0, out=np.zeros(n))
    measured = {name: CalibrationSums() for name in test.contract.classes}
    for block in test.blocks():
        weight = block.training_weight.astype(np.float64) * factors[block.label]
        for index, one in enumerate(measured.values()):
            one.add(block.probabilities(MODEL)[:, index], block.label == index, weight=weight)
    results = {name: one.result() for name, one in measured.items()}
    return {
        name: Calibration(
            error=Figure(**asdict(one.error)),
            if_calibrated=one.if_calibrated,
            bins=tuple(CalibrationBin(**asdict(part)) for part in one.bins),
        )
        for name, one in results.items()
    }


def _training_weights(predictions: Predictions) -> Doubles:
    """The sum of the training weights of each class [n_classes]."""
    sums = np.zeros(len(predictions.contract.classes))
    for block in predictions.blocks():
        sums += np.bincount(block.label, block.training_weight.astype(np.float64), len(sums))
    return sums
