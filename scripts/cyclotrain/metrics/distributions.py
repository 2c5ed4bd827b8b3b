"""Histograms of many columns at once, filled batch by batch with fixed edges, so that memory does not grow with the sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.shapes import Shape

Floats = npt.NDArray[np.floating]
_BINS = 50
_FINE = 20  # bins in a bin, for cumulative distributions
_TAIL = 0.001  # of a first part of the values, on each side, is in the first and in the last bin


@dataclass(frozen=True)
class Axis:
    """Bins of equal width; values beyond the edges count in the first and in the last bin."""

    low: float
    high: float
    bins: int

    @classmethod
    def of(cls, values: Floats, *, most: int = _BINS) -> Self:
        """An axis for a quantity of which some values [n] are known.

        There are `most` bins between the quantiles 0.1 % and 99.9 %. For whole numbers there may be fewer, because each bin has
        the same number of them, at least one. Non-finite values do not count.
        """
        finite = values[np.isfinite(values)].astype(np.float64)
        if not len(finite):
            return cls(0.0, 1.0, 1)
        low, high = np.quantile(finite, [_TAIL, 1 - _TAIL])
        if (finite == np.round(finite)).all():
            first, last = np.floor(low), np.ceil(high)
            width = -(-(last - first + 1) // most)
            bins = int(-(-(last - first + 1) // width))
            return cls(float(first) - 0.5, float(first + bins * width) - 0.5, bins)
        # of a constant, or of values that differ by less than float32 can tell
        if high - low <= 1e-6 * max(abs(low), abs(high)):
            width = max(1e-3 * abs(low), 1e-3)
            return cls(float(low) - width, float(high) + width, 1)
        return cls(float(low), float(high), most)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """The edges [bins + 1]."""
        return np.linspace(self.low, self.high, self.bins + 1)

    def bin_of(self, values: Floats) -> npt.NDArray[np.int64]:
        """The bin [n] of each of some finite values [n]."""
        position = (values.astype(np.float64) - self.low) * (self.bins / (self.high - self.low))
        return np.clip(np.floor(position), 0, self.bins - 1).astype(np.int64)


class _Bins:
    """The bins of the values of several columns."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        low, high, self._n = (np.array([getattr(axis, name) for axis in axes]) for name in ("low", "high", "bins"))
        self._low, self._per_unit = low, self._n / (high - low)
        self.most = int(self._n.max(initial=1))

    def of(self, values: Floats) -> npt.NDArray[np.int64]:
        """The bin of each value [n, n_columns]; of no meaning for a non-finite one."""
        with np.errstate(invalid="ignore", over="ignore"):
            position = np.nan_to_num((values - self._low) * self._per_unit)
        return np.clip(position, 0, self._n - 1).astype(np.int64)


class Histograms:
    """Of each of some columns: a shape for each group of examples, and the number of values and of non-finite ones.

    An example may have any number of values, such as one for each constituent.
    """

    def __init__(self, axes: Sequence[Axis], groups: int) -> None:
        self.axes = axes
        self.shapes = [[Shape.zeros(axis.bins) for axis in axes] for _ in range(groups)]
        self.entries, self.non_finite = (np.zeros((groups, len(axes)), np.int64) for _ in range(2))
        self._bins = _Bins(axes)

    def add(self, values: Floats, *, example: npt.NDArray[np.integer], group: npt.NDArray[np.integer], weight: Floats) -> None:
        """Add values [n_values, n_columns] of some examples.

        `example` [n_values]: the example of each row, an index of `group` and `weight` [n_examples].
        """
        n, columns, most = len(group), len(self.axes), self._bins.most
        finite, bins = np.isfinite(values), self._bins.of(values)
        cell = (np.arange(columns) * n + example[:, None]) * most + bins
        in_bins = np.bincount(cell[finite], minlength=columns * n * most).reshape(columns, n, most)
        rows = np.bincount(example, minlength=n)
        bad = np.stack([np.bincount(example[~finite[:, i]], minlength=n) for i in range(columns)], axis=1)
        for index in np.unique(group).tolist():
            shapes, own = self.shapes[index], group == index
            self.entries[index] += int(rows[own].sum())
            self.non_finite[index] += bad[own].sum(axis=0)
            weighted: npt.NDArray[np.float64] = np.multiply(in_bins[:, own], weight[own, None], dtype=np.float64)
            counts: npt.NDArray[np.float64] = weighted.sum(axis=1)
            products = weighted.transpose(0, 2, 1) @ weighted
            for column, axis in enumerate(self.axes):
                own_bins = slice(axis.bins)
                shapes[column] += Shape(counts[column, own_bins], products[column, own_bins, own_bins])


class FineHistograms:
    """Of each of some columns with one value an example: sums of weights and of their squares in fine bins, by group."""

    def __init__(self, axes: Sequence[Axis], groups: int) -> None:
        self.axes = axes
        fine = [Axis(axis.low, axis.high, axis.bins * _FINE) for axis in axes]
        self._bins = _Bins(fine)
        self.counts, self.squares = (np.zeros((groups, len(axes), self._bins.most)) for _ in range(2))
        self.entries, self.non_finite = (np.zeros((groups, len(axes)), np.int64) for _ in range(2))

    def add(self, values: Floats, *, group: npt.NDArray[np.integer], weight: Floats) -> None:
        """Add values [n, n_columns] of examples with `group` [n] and `weight` [n]."""
        groups, columns, most = self.counts.shape
        finite, bins = np.isfinite(values), self._bins.of(values)
        column = group[:, None] * columns + np.arange(columns)
        cell, weights = (column * most + bins)[finite], np.broadcast_to(weight[:, None], values.shape)[finite].astype(np.float64)
        for sums, power in ((self.counts, 1), (self.squares, 2)):
            sums += np.bincount(cell, weights**power, sums.size).reshape(sums.shape)
        self.entries += np.bincount(group, minlength=groups)[:, None]
        self.non_finite += np.bincount(column[~finite], minlength=groups * columns).reshape(groups, columns)

    def coarse(self, sums: npt.NDArray[np.float64], column: int) -> npt.NDArray[np.float64]:
        """`counts` or `squares` of a column [groups, bins], in the bins of its axis."""
        return np.add.reduceat(sums[:, column], np.arange(self.axes[column].bins) * _FINE, axis=1)
