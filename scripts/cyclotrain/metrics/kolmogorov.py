"""The Kolmogorov-Smirnov test of two weighted samples."""

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
    cumulative, effective = [], []
    for values, weights in ((first, first_weights), (second, second_weights)):
        order = np.argsort(values)
        total = np.append(0.0, np.cumsum(weights[order], dtype=np.float64))
        cumulative.append(total[np.searchsorted(values[order], edges, side="right")] / total[-1])
        effective.append(weights.sum(dtype=np.float64) ** 2 / np.sum(weights.astype(np.float64) ** 2))
    distance = float(np.abs(cumulative[0] - cumulative[1]).max())
    n = effective[0] * effective[1] / (effective[0] + effective[1])
    return KolmogorovSmirnov(distance, float(kolmogorov(distance * np.sqrt(n))))
