"""The weighted distance correlation of two variables: 0 if, and for large samples only if, they are independent."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DistanceCorrelation:
    """The distance correlation, and what fluctuations alone would make it; None if a variable is the same for all."""

    value: float | None
    if_independent: float | None


def distance_correlation(x: Floats, y: Floats, *, weight: Floats) -> DistanceCorrelation:
    """The distance correlation of x [n] and y [n] (Szekely, Rizzo, Bakirov, Ann. Statist. 35, 2007), with weights [n].

    With weights w that add up to 1, distances a and b between values, and A and B, which are a and b without their weighted means
    of rows and columns, it is the square root of V(x, y) / sqrt(V(x, x) V(y, y)), V(x, y) = sum w w' A B. This is the measure of
    Kasieczka and Shih (2001.05310), who add its square to the loss. Negative weights count as they are; V stays positive, but the
    correlation can then exceed 1. It is None if the sum of weights or a V(x, x) is not positive.

    `if_independent` is the square root of what V is on average for independent variables, with the same denominator.

    It takes n log(n)^2 operations: V is a sum over pairs of (x - x') (y - y') with the sign of either factor, which sorting and
    cumulative sums give.
    """
    w = weight.astype(np.float64)
    total = float(w.sum())
    if len(w) < 2 or total <= 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return DistanceCorrelation(None, None)
    w = w / total
    u, v = _standardised(x), _standardised(y)
    mean_u, mean_v = _mean_distances(u, w), _mean_distances(v, w)
    variances = [
        2 * float(w @ values**2 - (w @ values) ** 2) - 2 * float(w @ mean**2) + float(w @ mean) ** 2
        for values, mean in ((u, mean_u), (v, mean_v))
    ]
    if min(variances) <= 0:
        return DistanceCorrelation(None, None)
    product_of_means = float(w @ mean_u) * float(w @ mean_v)
    covariance = _sum_of_products(u, v, w) - 2 * float(w @ (mean_u * mean_v)) + product_of_means
    scale = math.sqrt(variances[0] * variances[1])
    independent = product_of_means * float(w @ w)
    return DistanceCorrelation(*(math.sqrt(max(part, 0.0) / scale) for part in (covariance, independent)))


def _standardised(values: Floats) -> Doubles:
    """The correlation does not depend on origin and unit, but rounding does."""
    values = values.astype(np.float64)
    result: Doubles = (values - values.mean()) / values.std()
    return result


def _mean_distances(values: Doubles, w: Doubles) -> Doubles:
    """The weighted mean distance [n] of each value to all values."""
    order = np.argsort(values)
    ordered, weights = values[order], w[order]
    below, sums = np.cumsum(weights), np.cumsum(weights * ordered)
    distances = np.empty_like(values)
    distances[order] = ordered * (2 * below - below[-1]) - 2 * sums + sums[-1]
    return distances


def _sum_of_products(u: Doubles, v: Doubles, w: Doubles) -> float:
    """The sum over all pairs of w w' |u - u'| |v - v'|.

    Without the absolute values it is twice the covariance; pairs whose order in u is not that in v then have the wrong sign. They
    are summed as a merge sort finds them: in blocks of the order of u, each value of v in the second half with all larger ones in
    the first half.
    """
    n = len(u)
    order = np.argsort(u, kind="stable")
    u, v, w = u[order], v[order], w[order]
    rank = np.empty(n, np.int64)
    rank[np.argsort(v, kind="stable")] = np.arange(n)
    slots = np.arange(n)
    moments = np.stack([w, w * u, w * v, w * u * v])
    inverted = 0.0
    for level in range(max(n - 1, 1).bit_length()):
        rows = np.argsort((slots >> (level + 1)) * n + rank, kind="stable")
        is_first = (rows >> level) & 1 == 0
        sums = np.zeros((4, n + 1))
        np.cumsum(np.where(is_first, moments[:, rows], 0.0), axis=1, out=sums[:, 1:])
        places = np.flatnonzero(~is_first)
        ends = np.minimum(((places >> (level + 1)) + 1) << (level + 1), n)
        larger = sums[:, ends] - sums[:, places]
        one, with_u, with_v, with_uv = moments[:, rows[places]]
        inverted += float((with_uv * larger[0] - with_u * larger[2] - with_v * larger[1] + one * larger[3]).sum())
    mean_u, mean_v = float(w @ u), float(w @ v)
    return 2 * (float(w @ (u * v)) - mean_u * mean_v) - 4 * inverted
