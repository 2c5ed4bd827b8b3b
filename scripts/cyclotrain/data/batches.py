"""Padded batches of jagged examples, gathered as a whole on the device that trains.

The examples stay on the device as flat tensors; a batch is one index_select for each set. No per-example Python, no workers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclotrain.contract import Layout
from cyclotrain.data.shards import Examples

# batches whose examples are sorted by length together: more pad less, and mix less
_POOL = 4


class Batch(NamedTuple):
    """branches: scalars [B, 1], jagged [B, L] zero-padded; label [B] int64; weight [B] float32; target [B, n_quantities], NaN
    where there is none; observers [B, n_observers], those of the layout; n_all: sum of B over ranks.

    n_step: the sum of n_all over the batches of a step of the optimiser, divided by the number of batches in a full step.
    """

    branches: dict[str, Tensor]
    label: Tensor
    weight: Tensor
    target: Tensor
    observers: Tensor
    n_all: int
    n_step: float


@dataclass(frozen=True)
class Shuffle:
    """The order of the training examples: another in each epoch, which depends on `seed` and the number of the epoch only.

    bucket: a batch has examples of like length; accumulate: the number of batches in a step of the optimiser.
    """

    seed: int
    bucket: bool = False
    accumulate: int = 1


@dataclass(frozen=True)
class Rank:
    """One of the `total` processes that train together, counted from 0."""

    index: int = 0
    total: int = 1


ONLY_RANK = Rank()


class Batches:
    """Iterable over the batches of one epoch, in the order of the examples or shuffled.

    Each rank takes its part of every batch; for some ranks this part is empty if the batch is small.
    """

    def __init__(
        self,
        examples: Examples,
        layout: Layout,
        batch_size: int,
        *,
        device: torch.device | str = "cpu",
        shuffle: Shuffle | None = None,
        rank: Rank = ONLY_RANK,
    ) -> None:
        self._rank = rank
        self.batch_size, self.shuffle, self.epoch = batch_size, shuffle, 0
        self.n, self._layout = len(examples), layout
        self._scalars = torch.from_numpy(examples.scalars).to(device)
        self._label = torch.from_numpy(examples.label).to(device)
        self._weight = torch.from_numpy(examples.weight).to(device)
        self._target = torch.from_numpy(examples.targets).to(device)
        self._observers = torch.from_numpy(examples.observers).to(device)
        self._sets = {}
        # on the CPU: to read the length of a batch from a GPU waits until the GPU has finished the batch before
        self._counts = {name: torch.from_numpy(np.diff(offsets)) for name, (_, offsets) in examples.sets.items()}
        for name, (values, offsets) in examples.sets.items():
            # padding points to the row of zeros at the end
            padded = torch.zeros(len(values) + 1, values.shape[1], device=device)
            padded[:-1] = torch.from_numpy(values)
            self._sets[name] = padded, torch.from_numpy(offsets).to(device)

    def __len__(self) -> int:
        return len(self._sizes())

    def _sizes(self) -> list[int]:
        """The length of each batch. In training, a last batch of less than two examples a rank joins the batch before.

        Batch normalisation needs two.
        """
        full, rest = divmod(self.n, self.batch_size)
        sizes = [self.batch_size] * full
        if rest and sizes and self.shuffle and rest < 2 * self._rank.total:
            sizes[-1] += rest
        elif rest:
            sizes.append(rest)
        return sizes

    def __iter__(self) -> Iterator[Batch]:
        batches = self._rows(self.shuffle) if self.shuffle else torch.arange(self.n).split(self._sizes())
        accumulate = self.shuffle.accumulate if self.shuffle else 1
        for index, rows in enumerate(batches):
            first = index - index % accumulate
            n_step = sum(map(len, batches[first : first + accumulate])) / accumulate
            part = rows[self._rank.index :: self._rank.total]
            yield self.gather(part)._replace(n_all=len(rows), n_step=n_step)

    def _rows(self, shuffle: Shuffle) -> Sequence[Tensor]:
        """The rows of each batch of this epoch."""
        generator = torch.Generator().manual_seed(shuffle.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.n, generator=generator)
        if not shuffle.bucket:
            return order.split(self._sizes())
        # of all sets together, since each is padded to the longest of the batch
        length = sum(self._counts.values(), torch.zeros(self.n, dtype=torch.int64))
        pools = order.split(_POOL * self.batch_size)
        order = torch.cat([pool[length[pool].argsort(stable=True)] for pool in pools])
        batches = order.split(self._sizes())
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    def gather(self, rows: Tensor) -> Batch:
        """The batch of the examples `rows` [B], a tensor on the CPU; a set is padded to its longest example, at least to 1."""
        lengths = {name: max(int(counts[rows].max()), 1) if len(rows) else 1 for name, counts in self._counts.items()}
        rows = rows.to(self._label.device)
        scalars = self._scalars.index_select(0, rows)
        branches = {name: scalars[:, i : i + 1] for i, name in enumerate(self._layout.scalars)}
        for name, (values, offsets) in self._sets.items():
            first = offsets[rows]
            counts = offsets[rows + 1] - first
            position = torch.arange(lengths[name], device=rows.device)
            source = torch.where(position < counts[:, None], first[:, None] + position, len(values) - 1)
            padded = values.index_select(0, source.flatten()).view(*source.shape, values.shape[1])
            branches |= dict(zip(self._layout.sets[name].branches, padded.unbind(-1), strict=True))
        n = len(rows)
        flat = (self._label[rows], self._weight[rows], self._target[rows], self._observers[rows])
        return Batch(branches, *flat, n, float(n))
