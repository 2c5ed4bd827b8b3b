"""Totals of the examples in a shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cyclotrain.contract.splits import SPLITS


class ByClass:
    """Number of examples and sum of weights, by class and split; for all examples, and for those with negative weights."""

    def __init__(self, classes: Sequence[str]) -> None:
        zeros = {"events": 0, "sum_of_weights": 0.0, "negative_events": 0, "sum_of_negative_weights": 0.0}
        self.totals = {name: {split: dict(zeros) for split in SPLITS} for name in classes}

    def add(self, label: npt.NDArray[Any], weight: npt.NDArray[np.float32], split: npt.NDArray[np.uint8]) -> None:
        """Add examples [n]; `label` and `split` are indices."""
        cell, cells = label.astype(np.intp) * len(SPLITS) + split, len(self.totals) * len(SPLITS)
        all_and_negative: tuple[tuple[str, Any], ...] = (("", slice(None)), ("negative_", weight < 0))
        for kind, rows in all_and_negative:
            events = np.bincount(cell[rows], minlength=cells)
            sums = np.bincount(cell[rows], weight[rows], minlength=cells)
            for index, splits in enumerate(self.totals.values()):
                for number, total in enumerate(splits.values(), index * len(SPLITS)):
                    total[f"{kind}events"] += int(events[number])
                    total[f"sum_of_{kind}weights"] += float(sums[number])


@dataclass(frozen=True)
class ExamplesPerEntry:
    """How examples share entries: the entries with an example, the most examples of one entry, the sum of the squared numbers.

    With `object`, an entry has as many examples as it has selected objects.
    """

    entries: int = 0
    most: int = 0
    sum_of_squares: int = 0

    @classmethod
    def from_counts(cls, counts: npt.NDArray[np.int64]) -> "ExamplesPerEntry":
        """From the number of examples of each entry."""
        return cls(int(np.count_nonzero(counts)), int(counts.max(initial=0)), int((counts**2).sum()))

    def __add__(self, other: "ExamplesPerEntry") -> "ExamplesPerEntry":
        return ExamplesPerEntry(
            self.entries + other.entries, max(self.most, other.most), self.sum_of_squares + other.sum_of_squares
        )
