"""The features of examples, before standardisation, as the model's own layer computes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from cyclotrain.contract import Contract, Layout
from cyclotrain.core.errors import InputError
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import Examples, iterate_split
from cyclotrain.metrics.distributions import Axis
from cyclotrain.networks.features import FeatureLayer, is_finite

BATCH = 1024
_SHARDS, _EXAMPLES = 32, 20_000  # at most: whose first examples the axes are made for, and how many in all
Axes = dict[str, list[Axis]]


@dataclass(frozen=True)
class SetValues:
    """The features of one set: values [n_values, n_features], and the example [n_values] that each row belongs to.

    A flat set has a row an example; a set of constituents a row for each real constituent that the model sees. What the layer
    replaces by the training mean is NaN.
    """

    values: npt.NDArray[np.float32]
    example: npt.NDArray[np.int64]


class Features:
    """The feature layer of a model."""

    def __init__(self, contract: Contract) -> None:
        self._layer, self._sets = FeatureLayer(contract.layout), contract.layout.sets

    def of(self, branches: Mapping[str, Tensor]) -> dict[str, SetValues]:
        """By set, from a batch of branches."""
        by_set = {}
        with torch.no_grad():
            for name in self._sets:
                x, mask, _ = self._layer.raw(branches, name)
                example = torch.arange(len(x)) if mask is None else mask.nonzero()[:, 0]
                values = x if mask is None else x[mask]
                by_set[name] = SetValues(torch.where(is_finite(values), values, torch.nan).numpy(), example.numpy())
        return by_set


def fitting_axes(contract: Contract, shards: Sequence[str]) -> Axes:
    """By set, an axis for each feature, from the first training examples of up to 32 shards that are spread over all.

    They are 20,000 at most, so that memory does not grow with the number of shards.
    """
    features = Features(contract)
    parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in contract.layout.sets}
    chosen = shards[:: -(-len(shards) // _SHARDS)]
    for shard in chosen:
        for examples in iterate(contract, [shard], "train"):
            batch = Batches(examples, contract.layout, BATCH).gather(torch.arange(min(len(examples), _EXAMPLES // len(chosen))))
            for name, of_set in features.of(batch.branches).items():
                parts[name].append(of_set.values)
            break
    axes = {}
    for name, layout in contract.layout.sets.items():
        n = len(layout.features)
        values = np.concatenate([np.empty((0, n), np.float32), *parts[name]])
        axes[name] = [Axis.of(values[:, column]) for column in range(n)]
    return axes


def iterate(contract: Contract, shards: Sequence[str], split: str) -> Iterator[Examples]:
    """The examples of a split, in parts that are not empty."""
    parts = iterate_split(shards, contract.layout, split, normalisation=contract.normalisation, fold=contract.fold)
    return (part for part in parts if len(part))


def checked_sample(shard: str, layout: Layout) -> str:
    """The name of the sample of a shard; raises InputError if its branches have another shape than those of the model."""
    with pa.memory_map(shard) as file:
        metadata = pa.ipc.open_file(file).schema.metadata
    name = str(metadata[b"sample"].decode())
    if b"layout" not in metadata:
        raise InputError(f"samples.{name}: no file can be read; the reasons are in the receipt beside {shard}")
    inputs = Layout.from_dict(json.loads(metadata[b"layout"])).inputs
    if other := [branch for branch, set_name in layout.inputs.items() if inputs.get(branch, "") != set_name]:
        raise InputError(f"samples.{name}: '{other[0]}' is jagged here and flat in the simulation of the model, or the reverse")
    return name
