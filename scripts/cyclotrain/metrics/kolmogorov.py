"""The Kolmogorov-Smirnov test of two weighted samples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import kolmogorov

Floats = npt.NDArray[np.floating]


class KolmogorovSmirnov(NamedTuple):
    """The largest distance of the cumulative distributions, and the asymptotic p-value; None without weights."""

    distance: float | None
    p_value: float | None


def kolmogorov_smirnov(first: Floats, second: Floats, *, first_weights: Floats, second_weights: Floats) -> KolmogorovSmirnov:
    """Compare values [n] and [m] with weights of the same lengths.

    The effective numbers of events, (sum w)^2 / sum w^2, stand in place of the numbers, as in ROOT's TH1::KolmogorovTest.
    Negative weights count as they are; a cumulative distribution can then fall. There is no result if a sum of weights is not
    positive.
    """
    if not all(weights.sum(dtype=np.float64) > 0 for weights in (first_weights, second_weights)):
        return KolmogorovSmirnov(None, None)
    edges = np.sort(np.concatenate([first, second]))
    cumulative = []
    for values, weights in ((first, first_weights), (second, second_weights)):
        order = np.argsort(values)
        total = np.append(0.0, np.cumsum(weights[order], dtype=np.float64))
        cumulative.append(total[np.searchsorted(values[order], edges, side="right")])
    squares = [float(np.sum(weights.astype(np.float64) ** 2)) for weights in (first_weights, second_weights)]
    return _result(cumulative[0], cumulative[1], squares)


def kolmogorov_smirnov_of_sums(
    first: Floats, second: Floats, *, first_squares: float, second_squares: float
) -> KolmogorovSmirnov:
    """The same from sums of weights [n_bins] in the same narrow bins, and the sum of all squared weights.

    The distance is at most smaller by the largest share of a bin.
    """
    cumulative = [np.cumsum(sums, dtype=np.float64) for sums in (first, second)]
    if not all(sums[-1] > 0 for sums in cumulative):
        return KolmogorovSmirnov(None, None)
    return _result(cumulative[0], cumulative[1], [first_squares, second_squares])


def _result(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], squares: Sequence[float]) -> KolmogorovSmirnov:
    """From cumulative sums of weights at the same values, the last of which is the sum of all."""
    distance = float(np.abs(first / first[-1] - second / second[-1]).max())
    effective = [float(sums[-1]) ** 2 / square for sums, square in zip((first, second), squares, strict=True)]
    n = effective[0] * effective[1] / (effective[0] + effective[1])
    return KolmogorovSmirnov(distance, float(kolmogorov(distance * np.sqrt(n))))
