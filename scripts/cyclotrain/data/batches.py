"""Ragged examples to padded batches, gathered by whole batches on the device that trains.

The examples stay on the device as flat tensors; a batch is one index_select a set. No per-example Python, no workers.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclotrain.contract import Layout
from cyclotrain.data.shards import Examples


class Batch(NamedTuple):
    """branches: scalars [B, 1], jagged [B, L] zero-padded; label [B] int64; weight [B] float32; of: B over all ranks."""

    branches: dict[str, Tensor]
    label: Tensor
    weight: Tensor
    of: int


class Batches:
    """Iterable over the batches of one epoch, in a new order each epoch if `shuffle_seed` is given.

    Of `ranks` processes that train together, each takes its part of every batch, which is empty for some if a batch is small.
    """

    def __init__(
        self,
        examples: Examples,
        layout: Layout,
        batch_size: int,
        device: torch.device | str = "cpu",
        shuffle_seed: int | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self._rank, self._ranks = rank, ranks
        self.batch_size, self.shuffle_seed, self.epoch = batch_size, shuffle_seed, 0
        self.n, self._layout = len(examples), layout
        self._scalars = torch.from_numpy(examples.scalars).to(device)
        self._label = torch.from_numpy(examples.label).to(device)
        self._weight = torch.from_numpy(examples.weight).to(device)
        self._sets = {}
        # on the CPU, as to ask a GPU for the length of a batch is to wait until it has done the batch before
        self._counts = {name: torch.from_numpy(np.diff(offsets)) for name, (_, offsets) in examples.sets.items()}
        for name, (content, offsets) in examples.sets.items():
            # one row of zeros at the end, to which padding points
            padded = torch.zeros(len(content) + 1, content.shape[1], device=device)
            padded[:-1] = torch.from_numpy(content)
            self._sets[name] = padded, torch.from_numpy(offsets).to(device)

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self.shuffle_seed is None:
            order = torch.arange(self.n)
        else:
            generator = torch.Generator().manual_seed(self.shuffle_seed * 1_000_003 + self.epoch)
            order = torch.randperm(self.n, generator=generator)
        for rows in order.split(self.batch_size) if self.n else ():  # torch makes one empty part of nothing
            yield self.gather(rows[self._rank :: self._ranks])._replace(of=len(rows))

    def gather(self, rows: Tensor) -> Batch:
        """The batch of the examples `rows` [B], on the CPU; a set is padded to its longest example, and to 1 if all are empty."""
        lengths = {name: max(int(counts[rows].max()), 1) if len(rows) else 1 for name, counts in self._counts.items()}
        rows = rows.to(self._label.device)
        scalars = self._scalars.index_select(0, rows)
        branches = {name: scalars[:, i : i + 1] for i, name in enumerate(self._layout.scalars)}
        for name, (content, offsets) in self._sets.items():
            first = offsets[rows]
            counts = offsets[rows + 1] - first
            position = torch.arange(lengths[name], device=rows.device)
            source = torch.where(position < counts[:, None], first[:, None] + position, len(content) - 1)
            padded = content.index_select(0, source.flatten()).view(*source.shape, content.shape[1])
            branches |= dict(zip(self._layout.sets[name].branches, padded.unbind(-1), strict=True))
        return Batch(branches, self._label[rows], self._weight[rows], len(rows))
