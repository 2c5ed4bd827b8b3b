"""Histograms of entries that belong to examples, such as constituents to jets: shares, and a chi-square test of two shapes.

The entries of one example are correlated, so the usual uncertainties of a histogram are too small. Sums over examples give
the right ones. With one entry an example, they are the usual ones.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from cyclotrain.metrics.chi_square import merged_bins

Floats = npt.NDArray[np.float64]


class ShapeTest(NamedTuple):
    """The statistic, its degrees of freedom, and the p-value, which is None without a degree of freedom."""

    value: float
    degrees: int
    p_value: float | None


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
    def squares(self) -> Floats:
        """sum w^2 n_b^2 in each bin [bins], the variance of the counts."""
        return np.diagonal(self.products)

    def merged(self, first_bins: npt.NDArray[np.integer]) -> "Shape":
        """With fewer bins, each from one of `first_bins` up to the next."""
        products = np.add.reduceat(np.add.reduceat(self.products, first_bins, axis=0), first_bins, axis=1)
        return Shape(np.add.reduceat(self.counts, first_bins), products)


def compare_shapes(first: Shape, second: Shape) -> ShapeTest:
    """Whether two shapes agree, each normalised to itself, by a chi-square test that takes correlated entries into account.

    The statistic is d^T C^-1 d for the difference d of the shares without the last bin, and the sum C of their covariances
    (a Wald test, asymptotically a chi-square of bins - 1). With one entry an example, `chi_square` is the usual test. Bins are
    merged as there.
    """
    if not (first.total > 0 and second.total > 0):
        return ShapeTest(0.0, 0, None)
    starts = merged_bins(first.counts, second.counts, first_variance=first.squares, second_variance=second.squares)
    first, second = first.merged(starts), second.merged(starts)
    difference = (first.shares - second.shares)[:-1]
    if not len(difference):
        return ShapeTest(0.0, 0, None)
    covariance = (first.covariance + second.covariance)[:-1, :-1]
    value = float(difference @ np.linalg.solve(covariance, difference))
    return ShapeTest(value, len(difference), float(chi2.sf(value, len(difference))))
