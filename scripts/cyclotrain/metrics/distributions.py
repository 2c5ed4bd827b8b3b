"""Histograms of many columns at once, filled batch by batch with fixed edges, so that memory does not grow with the sample."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.shapes import Shape

Floats = npt.NDArray[np.floating]
_BINS = 50
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


class Histograms:
    """Of each of some columns: a shape for each group of examples, and the number of values and of non-finite ones."""

    def __init__(self, axes: list[Axis], groups: int) -> None:
        self.axes = axes
        self.shapes = [[Shape.zeros(axis.bins) for axis in axes] for _ in range(groups)]
        self.entries, self.non_finite = (np.zeros((groups, len(axes)), np.int64) for _ in range(2))
        self._low, self._high, self._bins = (np.array([getattr(axis, name) for axis in axes]) for name in ("low", "high", "bins"))

    def add(self, values: Floats, *, example: npt.NDArray[np.integer], group: npt.NDArray[np.integer], weight: Floats) -> None:
        """Add values [n_values, n_columns] of some examples.

        `example` [n_values]: the example of each row, an index of `group` and `weight` [n_examples].
        """
        n, columns, most = len(group), len(self.axes), int(self._bins.max(initial=1))
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore", over="ignore"):
            position = (values - self._low) * (self._bins / (self._high - self._low))
            bins = np.clip(np.nan_to_num(position), 0, self._bins - 1).astype(np.int64)
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
