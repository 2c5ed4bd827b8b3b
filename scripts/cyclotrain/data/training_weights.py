"""Training weights: physics weights or 1, a policy for negative ones, balanced classes and flattened distributions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Contract, Flattening
from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import Examples

Weights = npt.NDArray[np.float32]


def training_weights(examples: Examples, contract: Contract) -> Weights:
    """The weight of each example [n] in the loss; over the training split their mean is 1."""
    policy = WeightPolicy(contract.training_weights, contract.negative_weights)
    weight = policy.weight(examples.weight) * np.asarray(contract.class_weights, np.float32)[examples.label]
    if contract.flattening:
        flattening = contract.flattening
        columns = [contract.layout.observers.index(name) for name in flattening.variables]
        bins = _bins(examples.observers[:, columns], flattening.edges)
        outside = np.zeros((len(flattening.factors), 1))  # the last column, which bin -1 selects
        factors = np.hstack([np.array(flattening.factors), outside]).astype(np.float32)
        weight = weight * factors[examples.label, bins]
    return weight


@dataclass(frozen=True)
class WeightPolicy:
    """Which weights a training uses before the factors for classes and flattening.

    weights: `physics`, or `none` for 1; negative: what a negative weight becomes, `keep`, `absolute` or `drop` (0).
    """

    weights: str
    negative: str

    def weight(self, physics: Weights) -> Weights:
        """The weight [n] of each example, from its physics weight [n]."""
        if self.weights == "none":
            return np.ones_like(physics)
        if self.negative == "absolute":
            return np.abs(physics)
        return np.maximum(physics, 0) if self.negative == "drop" else physics

    def sum(self, total: Mapping[str, float]) -> float:
        """The sum of the weights, from the number of events and the sums of all physics weights and of the negative ones."""
        if self.weights == "none":
            return total["events"]
        factor = {"keep": 0, "absolute": 2, "drop": 1}[self.negative]
        return total["sum_of_weights"] - factor * total["sum_of_negative_weights"]


def _bins(values: npt.NDArray[np.float32], edges: Sequence[Sequence[float]]) -> npt.NDArray[np.int64]:
    """The bin [n] of each row of values [n, n_variables], row by row; -1 outside the edges and for NaN."""
    bins = np.zeros(len(values), np.int64)
    inside = np.ones(len(values), np.bool_)
    for column, column_edges in zip(values.T, edges, strict=True):
        n_bins = len(column_edges) - 1
        # edges in the precision of the values, so that a value equal to an edge falls into the bin that starts there
        index = np.searchsorted(np.asarray(column_edges, values.dtype), column, side="right") - 1
        inside &= (index >= 0) & (index < n_bins)  # searchsorted puts NaN behind the last edge
        bins = bins * n_bins + index
    return np.where(inside, bins, -1)


class Histograms:
    """Weighted histograms of each class over the training split, and the factors that flatten them."""

    def __init__(
        self, recipe: Mapping[str, Any], *, classes: Sequence[str], observers: Sequence[str], policy: WeightPolicy
    ) -> None:
        self._names, self._edges = list(recipe["variables"]), list(recipe["variables"].values())
        self._to, self._classes, self._policy = recipe["to"], list(classes), policy
        self._columns = [list(observers).index(name) for name in self._names]
        self._n_bins = int(np.prod([len(edges) - 1 for edges in self._edges]))
        self._sums = np.zeros((len(classes), self._n_bins + 1))  # the last bin: outside the edges
        self._events = np.zeros((len(classes), self._n_bins + 1), np.int64)

    def add(self, examples: Examples) -> None:
        """Add examples of the training split."""
        bins = _bins(examples.observers[:, self._columns], self._edges)
        place = examples.label * (self._n_bins + 1) + np.where(bins < 0, self._n_bins, bins)
        weight = self._policy.weight(examples.weight)
        self._sums += np.bincount(place, weight, self._sums.size).reshape(self._sums.shape)
        self._events += np.bincount(place, minlength=self._events.size).reshape(self._events.shape)

    def flattening(self, class_weights: Sequence[float]) -> tuple[Flattening, dict[str, Any]]:
        """The factors on top of `class_weights`, after which all classes have the same sum; and a summary for dataset.json.

        Raises InputError if a class has no bin with a positive sum of weights inside the edges.
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
        # each class gets the same sum, such that the mean weight of all events is 1
        per_class = self._events.sum() / len(self._classes)
        factors = np.divide(per_class * wanted / share, sums, out=np.zeros_like(sums), where=filled)
        summaries = {
            name: {
                "events_outside": int(self._events[i, -1]),
                "sum_of_weights_outside": float(self._sums[i, -1]),
                "empty_bins": int((~filled[i]).sum()),
                "largest_factor": float(factors[i].max()),
            }
            for i, name in enumerate(self._classes)
        }
        edges = tuple(map(tuple, self._edges))
        flattening = Flattening(tuple(self._names), edges, self._to, tuple(map(tuple, factors.tolist())))
        variables = dict(zip(self._names, self._edges, strict=True))
        return flattening, {"variables": variables, "to": self._to, "classes": summaries}
