"""The Jensen-Shannon divergence of two weighted histograms: how much a cut changes a distribution."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.estimate import Estimate

_REPLICAS = 500

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Divergence:
    """A divergence in bits, from 0 for the same shape to 1 for no overlap, and what fluctuations alone would make it."""

    value: Estimate
    if_same: float


def jensen_shannon(first: Floats, second: Floats, *, first_variance: Floats, second_variance: Floats, seed: int) -> Divergence:
    """The divergence (base 2) of two independent histograms, from sums of weights [n_bins] and of squared weights [n_bins].

    With the shares p and q of the bins and m = (p + q) / 2, it is the mean of sum p log2(p / m) and sum q log2(q / m) (J. Lin,
    IEEE Trans. Inf. Theory 37, 1991), the square of scipy's distance. A bin with a negative sum of weights counts as empty. The
    value is None if a histogram has no positive bin.

    Fluctuations alone make it positive: `if_same` is the mean over 500 pairs of histograms that are drawn from the sum of both,
    with as many effective entries, (sum w)^2 / sum w^2. The variance has a first order, from the derivative log2(p / m) / 2, and
    the variance of these pairs, which is left for the same shape. The first is measured on shares that fluctuate, which adds
    twice the second to it.
    """
    parts = [np.maximum(np.asarray(part, np.float64), 0) for part in (first, second)]
    totals = [float(part.sum()) for part in parts]
    if min(totals) <= 0:
        return Divergence(Estimate(None, None), 0.0)
    p, q = (part / total for part, total in zip(parts, totals, strict=True))
    squares = [
        np.asarray(variance, np.float64) / total**2
        for variance, total in zip((first_variance, second_variance), totals, strict=True)
    ]
    linear = sum(_linear_variance(_logarithm(r, (p + q) / 2) / 2, r, s) for r, s in zip((p, q), squares, strict=True))
    of_pairs = _of_same(parts[0] + parts[1], [1 / float(s.sum()) for s in squares], seed)
    uncertainty = math.sqrt(max(linear - of_pairs.var(), of_pairs.var()))
    return Divergence(Estimate(float(_divergence(p, q)), uncertainty), float(of_pairs.mean()))


def _divergence(p: Doubles, q: Doubles) -> Doubles:
    """Of shares [..., n_bins]."""
    m = (p + q) / 2
    result: Doubles = np.maximum((p * _logarithm(p, m) + q * _logarithm(q, m)).sum(axis=-1) / 2, 0.0)
    return result


def _logarithm(share: Doubles, mean: Doubles) -> Doubles:
    """log2(share / mean), 0 for an empty bin."""
    result: Doubles = np.log2(np.divide(share, mean, out=np.ones_like(mean), where=share > 0))
    return result


def _linear_variance(derivative: Doubles, share: Doubles, squares: Doubles) -> float:
    """Of a function of shares, from its derivative by each of them."""
    return float((squares * (derivative - (share * derivative).sum()) ** 2).sum())


def _of_same(sums: Doubles, entries: list[float], seed: int) -> Doubles:
    """The divergences of pairs of histograms from one distribution, with a number of entries on average each."""
    random = np.random.default_rng(seed)
    drawn = [random.poisson(n * sums / sums.sum(), (_REPLICAS, len(sums))).astype(np.float64) for n in entries]
    filled = np.all([counts.sum(axis=1) > 0 for counts in drawn], axis=0)
    shares = [counts[filled] / counts[filled].sum(axis=1, keepdims=True) for counts in drawn]
    return _divergence(*shares) if filled.any() else np.zeros(1)
