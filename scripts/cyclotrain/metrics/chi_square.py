"""The chi-square test of two weighted histograms."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

_FEWEST = 10.0  # effective entries in a bin; Gagunashvili's lower limit for weighted histograms

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class ChiSquare:
    """The test statistic, its degrees of freedom and p-value, and the pull of each bin.

    first_bins [n_merged]: the index of the first bin of each group of bins that were merged; pulls [n_merged]: positive where
    the second histogram has more, their squares add up to `value`. `p_value` is None without a degree of freedom.
    """

    value: float
    degrees: int
    p_value: float | None
    first_bins: npt.NDArray[np.int64]
    pulls: npt.NDArray[np.float64]


def chi_square(first: Floats, second: Floats, *, first_variance: Floats, second_variance: Floats) -> ChiSquare:
    """Whether two histograms have the same shape, from sums of weights [n_bins] and sums of squared weights [n_bins].

    N. Gagunashvili's test (physics/0605123), as in ROOT's TH1::Chi2TestX with "WW": the sum over bins of
    (W1 w2 - W2 w1)^2 / (W1^2 s2^2 + W2^2 s1^2), with W the sum of all weights, with one degree of freedom less than bins. It
    tells nothing of the normalisation. Neighbouring bins are merged, from the left, until both histograms have 10 effective
    entries, (sum w)^2 / sum w^2. Negative weights count as they are; a bin whose weights cancel has few effective entries, and is
    merged. If a sum of all weights is not positive, there is no degree of freedom.
    """
    w1, w2, v1, v2 = (np.asarray(part, np.float64) for part in (first, second, first_variance, second_variance))
    total1, total2 = float(w1.sum()), float(w2.sum())
    if total1 <= 0 or total2 <= 0:
        return ChiSquare(0.0, 0, None, np.empty(0, np.int64), np.empty(0))
    starts = merged_bins(w1, w2, first_variance=v1, second_variance=v2)
    w1, w2, v1, v2 = (np.add.reduceat(part, starts) for part in (w1, w2, v1, v2))
    pulls = (total1 * w2 - total2 * w1) / np.sqrt(total1**2 * v2 + total2**2 * v1)
    value, degrees = float((pulls**2).sum()), len(starts) - 1
    return ChiSquare(value, degrees, float(chi2.sf(value, degrees)) if degrees else None, starts, pulls)


def merged_bins(first: Floats, second: Floats, *, first_variance: Floats, second_variance: Floats) -> npt.NDArray[np.int64]:
    """The first bin [n_merged] of each group in which both histograms have 10 effective entries; too few at the right end join
    the group before.
    """
    starts, sums = [0], np.zeros(4)
    for index, part in enumerate(np.stack([first, first_variance, second, second_variance], axis=1)):
        sums = sums + part
        if index + 1 < len(first) and _is_enough(*sums[:2]) and _is_enough(*sums[2:]):
            starts.append(index + 1)
            sums = np.zeros(4)
    if len(starts) > 1 and not (_is_enough(*sums[:2]) and _is_enough(*sums[2:])):
        starts.pop()
    return np.array(starts, np.int64)


def _is_enough(total: float, variance: float) -> bool:
    return total > 0 and total**2 >= _FEWEST * variance
