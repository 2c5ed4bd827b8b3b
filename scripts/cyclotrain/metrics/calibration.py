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
    """Compare the probabilities [n] of a class with which examples [n] are of it.

    The expected calibration error (Naeini et al. 2015) is the mean of |probability - fraction| over 15 bins of equal width, each
    with the sum of its weights: sum over bins of |sum w (p - y)|, divided by sum w. Its uncertainty is that of the sums.
    Fluctuations alone make it positive: by `if_calibrated`, sqrt(2 / pi) of the expected spread of each sum, if each example is
    of the class with its probability. Negative weights count as they are. The error is None if the sum of weights is not
    positive.
    """
    p, w = np.clip(probability.astype(np.float64), 0, 1), weight.astype(np.float64)
    y = is_class.astype(np.float64)
    index = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)

    def sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(index, values, _BINS).astype(np.float64)

    total = float(w.sum())
    if total <= 0:
        return Calibration((), Estimate(None, None), 0.0)
    in_all, of_class, expected = sums(w), sums(w * y), sums(w * p)
    squares, squares_of_class = sums(w**2), sums(w**2 * y)
    bins = []
    for i in np.flatnonzero(in_all > 0).tolist():
        fraction = float(of_class[i] / in_all[i])
        variance = squares_of_class[i] * (1 - 2 * fraction) + squares[i] * fraction**2  # sum of w^2 (y - fraction)^2
        uncertainty = math.sqrt(max(variance, 0.0)) / float(in_all[i])
        bins.append(Bin(i / _BINS, (i + 1) / _BINS, float(expected[i] / in_all[i]), Estimate(fraction, uncertainty)))
    error = float(np.abs(expected - of_class).sum()) / total
    uncertainty = math.sqrt(float((w**2 * (p - y) ** 2).sum())) / total
    if_calibrated = math.sqrt(2 / math.pi) * float(np.sqrt(sums(w**2 * p * (1 - p))).sum()) / total
    return Calibration(tuple(bins), Estimate(error, uncertainty), if_calibrated)
