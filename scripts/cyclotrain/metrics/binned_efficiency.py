"""Efficiencies of cuts in bins of another variable, in sums over blocks of examples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.efficiency import Shares, shares

Floats = npt.NDArray[np.floating]
Array = npt.NDArray[np.float64]


def bin_of(values: Floats, edges: Sequence[float]) -> npt.NDArray[np.intp]:
    """The bin of each value [n], counted from 0; the number of bins outside of the edges, and one more if it is not finite.

    The last bin has its upper edge too. Without edges there are no bins.
    """
    n_bins = max(len(edges) - 1, 0)
    bins = np.searchsorted(edges, values, side="right") - 1
    if n_bins:
        bins[values == edges[-1]] = n_bins - 1
    bins[bins < 0] = n_bins
    bins[~np.isfinite(values)] = n_bins + 1
    return bins


@dataclass(frozen=True)
class BinnedSums:
    """Sums of w and of w^2 [bins, k + 1] by the bin of a variable and by how many of k cuts, the loosest first, pass."""

    weight: Array
    squares: Array

    @classmethod
    def of(cls, values: Floats, score: Floats, *, weight: Floats, edges: Sequence[float], thresholds: Sequence[float]) -> Self:
        """Of examples [n]. Edges and thresholds rise. A cut is score >= threshold. Values that are in no bin do not count."""
        n_bins, n_passing = len(edges) - 1, len(thresholds) + 1
        bins = bin_of(values, edges)
        is_inside = bins < n_bins
        cell = bins[is_inside] * n_passing + np.searchsorted(thresholds, score[is_inside], side="right")
        w = weight[is_inside].astype(np.float64)
        sums, squares = (np.bincount(cell, w**power, n_bins * n_passing).astype(np.float64) for power in (1, 2))
        return cls(sums.reshape(n_bins, n_passing), squares.reshape(n_bins, n_passing))

    def __add__(self, other: "BinnedSums") -> "BinnedSums":
        return BinnedSums(self.weight + other.weight, self.squares + other.squares)

    def efficiencies(self) -> Shares:
        """The share of each bin that each cut keeps [bins, k]; NaN in a bin without a positive sum of weights.

        The uncertainty is for a fixed cut.
        """
        passed, passed_squares = (x[:, ::-1].cumsum(axis=1)[:, ::-1] for x in (self.weight, self.squares))
        total, total_squares = (np.repeat(x[:, :1], x.shape[1] - 1, axis=1) for x in (passed, passed_squares))
        return shares(passed[:, 1:], passed_squares[:, 1:], total=total, total_squares=total_squares)
