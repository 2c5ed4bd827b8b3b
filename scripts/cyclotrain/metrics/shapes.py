"""Histograms of entries that belong to examples, such as constituents to jets: shares, and a chi-square test of two shapes.

The entries of one example are correlated, so the usual uncertainties of a histogram are too small. Sums over examples give
the right ones. With one entry an example, they are the usual ones.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

Floats = npt.NDArray[np.float64]
_ENTRIES = 10  # effective number of entries that a bin of a chi-square test has at least


class ChiSquare(NamedTuple):
    """The statistic, its degrees of freedom, and the p-value; NaN and 1 with less than two bins to compare."""

    value: float
    degrees: int
    p_value: float


@dataclass(frozen=True)
class Shape:
    """Sums over examples with a weight w and n_b entries in bin b: counts[b] = sum w n_b, products[b, c] = sum w^2 n_b n_c."""

    counts: Floats
    products: Floats

    @classmethod
    def zeros(cls, bins: int) -> Self:
        """Without examples."""
        return cls(np.zeros(bins), np.zeros((bins, bins)))

    def __add__(self, other: "Shape") -> "Shape":
        return Shape(self.counts + other.counts, self.products + other.products)

    @property
    def total(self) -> float:
        """The sum of weights of all entries."""
        return float(self.counts.sum())

    @property
    def shares(self) -> Floats:
        """The share of the entries in each bin [bins]; the total must not be 0."""
        return self.counts / self.total

    @property
    def covariance(self) -> Floats:
        """Of the shares [bins, bins], linearised: the sum over examples of r_b r_c, with r_b = w (n_b - share_b n) / total."""
        shares, row = self.shares, self.products.sum(axis=1)
        mixed = np.outer(row, shares)
        return (self.products - mixed - mixed.T + row.sum() * np.outer(shares, shares)) / self.total**2

    @property
    def effective_entries(self) -> Floats:
        """(sum w n_b)^2 / sum w^2 n_b^2 in each bin [bins]; 0 in an empty one."""
        squares = np.diagonal(self.products)
        return np.divide(self.counts**2, squares, where=squares > 0, out=np.zeros(len(squares)))

    def merged(self, first_bins: npt.NDArray[np.integer]) -> "Shape":
        """With fewer bins, each from one of `first_bins` up to the next."""
        products = np.add.reduceat(np.add.reduceat(self.products, first_bins, axis=0), first_bins, axis=1)
        return Shape(np.add.reduceat(self.counts, first_bins), products)


def chi_square(first: Shape, second: Shape) -> ChiSquare:
    """Whether two shapes agree; each is normalised to itself.

    The statistic is d^T C^-1 d for the difference d of the shares without the last bin, and the sum C of their covariances
    (a Wald test, asymptotically a chi-square of bins - 1). Bins are merged with the next until both shapes have 10 effective
    entries there, because few entries are not normally distributed.
    """
    merged = _first_bins(np.minimum(first.effective_entries, second.effective_entries))
    if len(merged) < 2 or not (first.total > 0 and second.total > 0):
        return ChiSquare(float("nan"), 0, 1.0)
    first, second = first.merged(merged), second.merged(merged)
    difference = (first.shares - second.shares)[:-1]
    covariance = (first.covariance + second.covariance)[:-1, :-1]
    value = float(difference @ np.linalg.solve(covariance, difference))
    return ChiSquare(value, len(difference), float(chi2.sf(value, len(difference))))


def _first_bins(entries: Floats) -> npt.NDArray[np.integer]:
    """The first of the bins that are merged into one; a rest with few entries joins the last."""
    firsts, kept, start = [0], 0.0, 0
    for index, number in enumerate(entries.tolist()):
        kept += number
        if kept >= _ENTRIES:
            start = index + 1
            firsts.append(start)
            kept = 0.0
    if len(firsts) > 1:
        firsts.pop()
    return np.array(firsts)
