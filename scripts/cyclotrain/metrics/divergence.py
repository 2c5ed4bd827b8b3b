"""The Jensen-Shannon divergence of two weighted histograms: how much a cut changes a distribution."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.estimate import Estimate

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Divergence:
    """A divergence in bits, from 0 for the same shape to 1 for no overlap, and what fluctuations alone would make it."""

    value: Estimate
    if_same: float


def jensen_shannon(first: Floats, second: Floats, *, first_variance: Floats, second_variance: Floats) -> Divergence:
    """The divergence (base 2) of two independent histograms, from sums of weights [n_bins] and of squared weights [n_bins].

    With the shares p and q of the bins and m = (p + q) / 2, it is the mean of sum p log2(p / m) and sum q log2(q / m) (J. Lin,
    IEEE Trans. Inf. Theory 37, 1991), the square of scipy's distance. A bin with a negative sum of weights counts as empty. The
    value is None if a histogram has no positive bin.

    Near p = q the divergence is sum (p - q)^2 / (8 ln(2) m). Fluctuations alone therefore make it positive, by `if_same` on
    average. The variance has a first order, from the derivative log2(p / m) / 2, and a second, which is left for p = q. The first
    is measured on p and q that fluctuate, which adds twice the second to it.
    """
    p, q = (np.maximum(np.asarray(part, np.float64), 0) for part in (first, second))
    total_p, total_q = float(p.sum()), float(q.sum())
    if total_p <= 0 or total_q <= 0:
        return Divergence(Estimate(None, None), 0.0)
    p, q = p / total_p, q / total_q
    m = (p + q) / 2
    log_p, log_q = (np.log2(np.divide(part, m, out=np.ones_like(m), where=part > 0)) for part in (p, q))
    value = float((p * log_p).sum() + (q * log_q).sum()) / 2
    squares_p = np.asarray(first_variance, np.float64) / total_p**2
    squares_q = np.asarray(second_variance, np.float64) / total_q**2
    linear = _linear_variance(log_p / 2, p, squares_p) + _linear_variance(log_q / 2, q, squares_q)
    # of p - q, bin by bin; a share fluctuates with its bin and with the sum of all
    variance = sum(s * (1 - 2 * share) + share**2 * s.sum() for share, s in ((p, squares_p), (q, squares_q)))
    terms = np.divide(variance, 8 * math.log(2) * m, out=np.zeros_like(m), where=m > 0)
    second_order = 2 * float((terms**2).sum())
    uncertainty = math.sqrt(max(linear - second_order, second_order))
    return Divergence(Estimate(max(value, 0.0), uncertainty), float(terms.sum()))


def _linear_variance(derivative: Floats, share: Floats, squares: Floats) -> float:
    """Of a function of shares, from its derivative by each of them."""
    return float((squares * (derivative - (share * derivative).sum()) ** 2).sum())
