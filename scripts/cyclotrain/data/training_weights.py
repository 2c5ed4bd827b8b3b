"""Training weights: physics weights with a policy for negative ones, classes balanced, and distributions flattened."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Contract, Flattening
from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import Examples

Weights = npt.NDArray[np.float32]


def training_weights(examples: Examples, contract: Contract) -> Weights:
    """The weight of each example [n] in the loss; over the training split their mean is 1."""
    weight = without_negative(examples.weight, contract.negative_weights)
    weight = weight * np.asarray(contract.class_weights, np.float32)[examples.label]
    if contract.flattening:
        flattening = contract.flattening
        columns = [contract.layout.observers.index(name) for name in flattening.variables]
        bins = _bins(examples.observers[:, columns], flattening.edges)
        outside = np.zeros((len(flattening.factors), 1))
        factors = np.hstack([np.array(flattening.factors), outside]).astype(np.float32)  # of bin -1, the last, for outside
        weight = weight * factors[examples.label, bins]
    return weight


def without_negative(weight: Weights, policy: str) -> Weights:
    """Weights with negative ones as the policy has them: `keep`, `absolute` or `drop`."""
    if policy == "absolute":
        return np.abs(weight)
    return np.maximum(weight, 0) if policy == "drop" else weight


def sum_for_training(total: Mapping[str, float], policy: str) -> float:
    """The sum of weights under the policy, of a receipt's sums of all weights and of the negative ones."""
    negative = total["sum_of_negative_weights"]
    return total["sum_of_weights"] - {"keep": 0, "absolute": 2, "drop": 1}[policy] * negative


def _bins(values: npt.NDArray[np.float32], edges: Sequence[Sequence[float]]) -> npt.NDArray[np.int64]:
    """The bin [n] of each row of values [n, n_variables], row by row; -1 outside the edges and for NaN."""
    found = np.zeros(len(values), np.int64)
    inside = np.ones(len(values), np.bool_)
    for column, of_column in zip(values.T, edges, strict=True):
        n_bins = len(of_column) - 1
        # the edges in the values' own precision, so that an edge is in the bin that begins there
        index = np.searchsorted(np.asarray(of_column, values.dtype), column, side="right") - 1
        inside &= (index >= 0) & (index < n_bins)  # NaN is sorted behind the last edge
        found = found * n_bins + index
    return np.where(inside, found, -1)


class Histograms:
    """Weighted histograms of each class over the training split, and the factors that flatten them."""

    def __init__(self, recipe: Mapping[str, Any], classes: Sequence[str], observers: Sequence[str], policy: str) -> None:
        self._names, self._edges = list(recipe["variables"]), list(recipe["variables"].values())
        self._to, self._classes, self._policy = recipe["to"], list(classes), policy
        self._columns = [list(observers).index(name) for name in self._names]
        self._n_bins = int(np.prod([len(edges) - 1 for edges in self._edges]))
        self._sums = np.zeros((len(classes), self._n_bins + 1))  # the last for outside
        self._events = np.zeros((len(classes), self._n_bins + 1), np.int64)

    def add(self, examples: Examples) -> None:
        """Add examples of the training split."""
        bins = _bins(examples.observers[:, self._columns], self._edges)
        place = examples.label * (self._n_bins + 1) + np.where(bins < 0, self._n_bins, bins)
        weight = without_negative(examples.weight, self._policy)
        self._sums += np.bincount(place, weight, self._sums.size).reshape(self._sums.shape)
        self._events += np.bincount(place, minlength=self._events.size).reshape(self._events.shape)

    def flattening(self, class_weights: Sequence[float]) -> tuple[Flattening, dict[str, Any]]:
        """The factors on top of `class_weights`, for classes of one sum, and what a receipt tells of them.

        Raises InputError for a class without training events, or with negative sums alone, inside the edges.
        """
        sums = self._sums[:, :-1] * np.array(class_weights)[:, None]
        filled = sums > 0
        target = np.ones(self._n_bins) if self._to == "flat" else np.maximum(sums[self._classes.index(self._to)], 0)
        wanted = np.where(filled, target, 0)
        share = wanted.sum(1, keepdims=True)
        if (empty := np.flatnonzero(share.ravel() <= 0)).size:
            raise InputError(
                f"flatten: class '{self._classes[empty[0]]}' has no positive sum of weights in any bin of "
                f"{', '.join(self._names)} that '{self._to}' has; change the edges"
            )
        # each class gets the sum that all would have with a mean weight of 1
        per_class = self._events.sum() / len(self._classes)
        factors = np.divide(per_class * wanted / share, sums, out=np.zeros_like(sums), where=filled)
        told = {
            name: {
                "events_outside": int(self._events[i, -1]),
                "sum_of_weights_outside": float(self._sums[i, -1]),
                "empty_bins": int((~filled[i]).sum()),
                "largest_factor": float(factors[i].max()),
            }
            for i, name in enumerate(self._classes)
        }
        edges = tuple(map(tuple, self._edges))
        made = Flattening(tuple(self._names), edges, self._to, tuple(map(tuple, factors.tolist())))
        return made, {"variables": dict(zip(self._names, self._edges, strict=True)), "to": self._to, "classes": told}
