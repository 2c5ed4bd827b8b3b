"""Whether probabilities are frequencies: of examples to which a model gives 0.7, seven in ten should be of the class."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.estimate import Estimate

_BINS = 15  # of equal width, as in Guo et al. 2017

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Bin:
    """Examples whose probability is between two values: its weighted mean, and the weighted share that is of the class."""

    low: float
    high: float
    probability: float
    fraction: Estimate


@dataclass(frozen=True)
class Calibration:
    """The bins that have a positive sum of weights, the expected calibration error, and its size for a calibrated model."""

    bins: tuple[Bin, ...]
    error: Estimate
    if_calibrated: float


def calibration(probability: Floats, is_class: Bools, *, weight: Floats) -> Calibration:
    """Compare the probabilities [n] of a class with which examples [n] are of it: `CalibrationSums` of all examples."""
    sums = CalibrationSums()
    sums.add(probability, is_class, weight=weight)
    return sums.result()


class CalibrationSums:
    """Compares probabilities with shares, block by block.

    The expected calibration error (Naeini et al. 2015) is the mean of |probability - fraction| over 15 bins of equal width, each
    with the sum of its weights: sum over bins of |sum w (p - y)|, divided by sum w. Its uncertainty is that of the sums.
    Fluctuations alone make it positive: by `if_calibrated`, sqrt(2 / pi) of the expected spread of each sum, if each example is
    of the class with its probability. Negative weights count as they are. The error is None if the sum of weights is not
    positive.
    """

    def __init__(self) -> None:
        zeros = {name: np.zeros(_BINS) for name in ("w", "wp", "wy", "w2", "w2y", "w2d2", "w2pq")}
        self._sums: dict[str, npt.NDArray[np.float64]] = zeros

    def add(self, probability: Floats, is_class: Bools, *, weight: Floats) -> None:
        """Add examples: their probabilities of a class [n], which are of it [n], and their weights [n]."""
        p, w = np.clip(probability.astype(np.float64), 0, 1), weight.astype(np.float64)
        y = is_class.astype(np.float64)
        index = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
        terms = {
            "w": w, "wp": w * p, "wy": w * y,
            "w2": w**2, "w2y": w**2 * y, "w2d2": w**2 * (p - y) ** 2, "w2pq": w**2 * p * (1 - p),
        }  # fmt: skip
        for name, values in terms.items():
            self._sums[name] += np.bincount(index, values, _BINS)

    def result(self) -> Calibration:
        """Of all examples so far."""
        sums = self._sums
        total = float(sums["w"].sum())
        if total <= 0:
            return Calibration((), Estimate(None, None), 0.0)
        bins = []
        for i in np.flatnonzero(sums["w"] > 0).tolist():
            w, wp, wy, w2, w2y = (float(sums[name][i]) for name in ("w", "wp", "wy", "w2", "w2y"))
            fraction = wy / w
            variance = w2y * (1 - 2 * fraction) + w2 * fraction**2  # sum of w^2 (y - fraction)^2
            uncertainty = math.sqrt(max(variance, 0.0)) / w
            bins.append(Bin(i / _BINS, (i + 1) / _BINS, wp / w, Estimate(fraction, uncertainty)))
        error = float(np.abs(sums["wp"] - sums["wy"]).sum()) / total
        uncertainty = math.sqrt(float(sums["w2d2"].sum())) / total
        if_calibrated = math.sqrt(2 / math.pi) * float(np.sqrt(sums["w2pq"]).sum()) / total
        return Calibration(tuple(bins), Estimate(error, uncertainty), if_calibrated)
