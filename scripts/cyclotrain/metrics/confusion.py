"""The confusion matrix and the accuracy of weighted examples, in sums over blocks of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.efficiency import Shares, estimate, shares
from cyclotrain.metrics.estimate import Estimate

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ConfusionSums:
    """Sums of w and of w^2 by true class and by the class of largest probability [classes, classes]."""

    weight: Array
    squares: Array

    @classmethod
    def of(cls, probabilities: npt.NDArray[np.floating], label: npt.NDArray[np.integer], *, weight: Array) -> Self:
        """Of examples [n]. Of equal probabilities [n, classes], the first counts."""
        n = probabilities.shape[1]
        cell = label.astype(np.int64) * n + probabilities.argmax(axis=1)
        w = weight.astype(np.float64)
        weights, squares = (np.bincount(cell, w**power, n * n).astype(np.float64).reshape(n, n) for power in (1, 2))
        return cls(weights, squares)

    def __add__(self, other: "ConfusionSums") -> "ConfusionSums":
        return ConfusionSums(self.weight + other.weight, self.squares + other.squares)

    def fractions(self) -> Shares:
        """Of each true class, the share in each predicted class [true, predicted]; NaN for a class without weight."""
        total, squares = (np.broadcast_to(x.sum(axis=1, keepdims=True), x.shape) for x in (self.weight, self.squares))
        return shares(self.weight, self.squares, total=total, total_squares=squares)

    def accuracy(self) -> Estimate:
        """The share of all weight for which the class of largest probability is the true one."""
        right = (np.trace(x, dtype=np.float64) for x in (self.weight, self.squares))
        all_examples = (x.sum() for x in (self.weight, self.squares))
        passed, passed_squares, total, total_squares = (np.array([x]) for x in (*right, *all_examples))
        return shares(passed, passed_squares, total=total, total_squares=total_squares).estimate(0)

    def balanced_accuracy(self) -> Estimate:
        """The mean over true classes of the share that is predicted right; None if a class has no weight."""
        diagonal = self.fractions()
        value, uncertainty = np.diag(diagonal.value), np.diag(diagonal.uncertainty)
        return estimate(float(value.mean()), float(np.sqrt((uncertainty**2).sum())) / len(value))
