"""Totals of the examples in a shard."""

from collections.abc import Sequence
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
