"""Bias and resolution of a regressed quantity, and the coverage of its quantiles, with statistical uncertainties."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.estimate import Estimate, poisson_replicas

Floats = npt.NDArray[np.floating]
# of a Gaussian, between -1 and +1 standard deviations
_LOW, _HIGH = 0.158655, 0.841345


@dataclass(frozen=True)
class Response:
    """The median of a distribution, and half of the width of its central 68.3 %."""

    median: Estimate
    half_width: Estimate


def response(values: Floats, *, weight: Floats, seed: int) -> Response:
    """The response of examples [n] with weights [n].

    Uncertainties are standard deviations over 200 Poisson bootstrap replicas. Negative weights count as they are; the quantile is
    then the first value at which the sum of weights reaches its share. Both are None if the sum of weights is not positive, or
    if a value is not finite.
    """
    order = np.argsort(values, kind="stable")
    ordered, weights = values[order].astype(np.float64), weight[order].astype(np.float64)
    if len(ordered) == 0 or weights.sum() <= 0 or not np.isfinite(ordered).all():
        return Response(Estimate(None, None), Estimate(None, None))
    resampled = poisson_replicas(weights, seed=seed, is_usable=lambda replica: bool(replica.sum() > 0))
    replicas = np.array([_quantiles(ordered, replica) for replica in resampled])
    spread = [float(x) for x in np.std([replicas[:, 1], (replicas[:, 2] - replicas[:, 0]) / 2], axis=1, ddof=1)]
    low, median, high = _quantiles(ordered, weights)
    return Response(Estimate(median, spread[0]), Estimate((high - low) / 2, spread[1]))


def _quantiles(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """The quantiles at -1, 0 and +1 standard deviations of a Gaussian, of sorted values.

    A value stands at the middle of its weight, and between two values the quantile is interpolated. With negative weights, the
    sum of weights does not rise everywhere, and the quantile is the first value at which it reaches the share.
    """
    sums = np.cumsum(weight)
    if weight.min() < 0:
        low, median, high = (values[np.argmax(sums >= share * sums[-1])] for share in (_LOW, 0.5, _HIGH))
    else:
        low, median, high = np.interp([_LOW, 0.5, _HIGH], (sums - weight / 2) / sums[-1], values)
    return float(low), float(median), float(high)


def coverage(target: Floats, estimate: Floats, *, weight: Floats) -> Estimate:
    """The weighted share of targets [n] that are not above the estimates [n], with its binomial uncertainty."""
    weight = weight.astype(np.float64)
    total = float(weight.sum())
    if total <= 0:
        return Estimate(None, None)
    share = float(weight[target <= estimate].sum()) / total
    return Estimate(share, float(np.sqrt(max(share * (1 - share), 0.0) * (weight**2).sum())) / total)


def equal_bins(values: Floats, n_bins: int) -> list[tuple[float, float]]:
    """At most `n_bins` ranges with about the same number of finite values in each, for numbers of any distribution."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return []
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, n_bins + 1)))
    return [(float(low), float(high)) for low, high in pairwise(edges)]


def in_bin(values: Floats, bins: Sequence[tuple[float, float]], index: int) -> npt.NDArray[np.bool_]:
    """Which values [n] are in a bin of `equal_bins`: the last one has its upper edge too."""
    low, high = bins[index]
    below = values <= high if index == len(bins) - 1 else values < high
    return (values >= low) & below
