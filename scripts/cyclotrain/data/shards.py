"""Shards as arrays: a whole split in memory, or one record batch after another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cyclotrain.contract import Contract, Layout, Set
from cyclotrain.contract.splits import SPLITS, Fold
from cyclotrain.expressions import Expression
from cyclotrain.ingest.columns import column, evaluate
from cyclotrain.ingest.totals import ByClass


@dataclass(frozen=True)
class Examples:
    """Examples as flat arrays, in the order of the shards.

    scalars [n, n_scalars], observers [n, n_observers] and targets [n, n_quantities] float32, NaN where there is no target; sets:
    values [n_constituents, n_branches] float32 and offsets [n + 1] int64 by name; label [n] int64; weight [n] float32;
    event_hash [n] uint64.
    """

    scalars: npt.NDArray[np.float32]
    sets: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]
    observers: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]
    event_hash: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.label)


def read_split(shards: Sequence[str | Path], contract: Contract, split: str) -> Examples:
    """All examples of a split ("train", "validation" or "test"), in memory."""
    parts = iterate_split(shards, contract.layout, split, normalisation=contract.normalisation, fold=contract.fold)
    return concatenate(list(parts), contract.layout)


def iterate_split(
    shards: Sequence[str | Path],
    layout: Layout,
    split: str,
    *,
    normalisation: Mapping[str, float],
    fold: Fold | None,
) -> Iterator[Examples]:
    """The examples of a split, one record batch at a time, in bounded memory.

    `normalisation`: the factor on the weights of each sample. `fold`: in a cross-training, the fold defines the splits, and
    the splits stored in the shard do not count.
    """
    for shard in shards:
        for batch in _record_batches(shard):
            factor = np.float32(normalisation[batch.schema.metadata[b"sample"].decode()])
            yield _select(batch, layout, _splits(batch, fold) == SPLITS.index(split), factor)


def iterate_rows(shards: Sequence[str | Path], contract: Contract, split: str, *, step: int) -> Iterator[Examples]:
    """Every `step`-th example of a split, one record batch at a time."""
    seen = 0
    for shard in shards:
        for batch in _record_batches(shard):
            inside = _splits(batch, contract.fold) == SPLITS.index(split)
            number = seen + np.cumsum(inside)  # of each example of the split, from 1 on
            seen = int(number[-1]) if len(number) else seen
            factor = np.float32(contract.normalisation[batch.schema.metadata[b"sample"].decode()])
            yield _select(batch, contract.layout, inside & (number % step == 0), factor)


def totals_by_class(shard: str | Path, classes: Sequence[str], fold: Fold | None) -> dict[str, Any]:
    """Number of examples and sums of weights in a shard, by class and split."""
    totals = ByClass(classes)
    for batch in _record_batches(shard):
        totals.add(batch["label"].to_numpy(), batch["weight"].to_numpy(), _splits(batch, fold))
    return totals.totals


def count_event_hashes(shards: Sequence[str | Path]) -> int:
    """The number of different event hashes in some shards."""
    different = np.empty(0, np.uint64)
    for shard in shards:
        for batch in _record_batches(shard):
            different = np.union1d(different, batch["event_hash"].to_numpy())
    return len(different)


def _record_batches(shard: str | Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(shard)) as file:
        reader = pa.ipc.open_file(file)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


def _splits(batch: pa.RecordBatch, fold: Fold | None) -> npt.NDArray[np.uint8]:
    splits: npt.NDArray[np.uint8] = batch["split"].to_numpy()
    return fold.split_index(batch["event_hash"].to_numpy()) if fold else splits


def _select(batch: pa.RecordBatch, layout: Layout, rows: npt.NDArray[np.bool_], factor: np.float32) -> Examples:
    scalars = _matrix([batch[f"scalar:{branch}"] for branch in layout.scalars], rows)
    return Examples(
        scalars=scalars,
        sets={name: _constituents(batch[f"set:{name}"], s, rows) for name, s in layout.sets.items() if s.is_jagged},
        observers=_observers(batch, layout, rows, scalars),
        targets=_matrix([batch[f"target:{name}"] for name in layout.targets], rows),
        label=batch["label"].to_numpy()[rows].astype(np.int64),
        weight=batch["weight"].to_numpy()[rows] * factor,
        event_hash=batch["event_hash"].to_numpy()[rows],
    )


def _observers(
    batch: pa.RecordBatch, layout: Layout, rows: npt.NDArray[np.bool_], scalars: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    own = layout.stored_observers
    values = dict(zip(layout.scalars, scalars.T, strict=True))
    observers = np.empty((len(scalars), len(layout.observers)), np.float32)
    with np.errstate(over="ignore"):  # beyond the range of float32: infinity
        for index, text in enumerate(layout.observers):
            if text in own:
                observers[:, index] = batch[f"observer:{text}"].to_numpy()[rows]
            else:
                sample = batch.schema.metadata[b"sample"].decode()
                value = evaluate(Expression(text), values, key=f"observer '{text}'", where=sample)
                observers[:, index] = column(value, len(scalars))
    return observers


def _matrix(columns: Sequence[pa.Array], rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    matrix = np.empty((int(np.count_nonzero(rows)), len(columns)), np.float32)
    for index, values in enumerate(columns):
        matrix[:, index] = values.to_numpy()[rows]
    return matrix


def _constituents(
    column: pa.ListArray, features: Set, rows: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The first `max_length` constituents of each example, a row each; batches are gathered from these rows."""
    counts = np.diff(column.offsets.to_numpy())
    assert features.max_length is not None
    kept = np.where(rows, np.minimum(counts, features.max_length), 0)
    # for each example: True for each constituent that is kept, then False for the others
    inside = np.repeat(np.tile([True, False], len(counts)), np.stack([kept, counts - kept], axis=1).ravel())
    values = np.empty((int(kept.sum()), len(features.branches)), np.float32)
    for index, branch in enumerate(features.branches):
        values[:, index] = column.values.field(branch).to_numpy()[inside]
    return values, _offsets(kept[rows])


def _offsets(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def concatenate(parts: Sequence[Examples], layout: Layout) -> Examples:
    """The parts, one after another."""
    sets = {}
    for name in (name for name, features in layout.sets.items() if features.is_jagged):
        counts = np.concatenate([np.diff(part.sets[name][1]) for part in parts])
        sets[name] = np.concatenate([part.sets[name][0] for part in parts]), _offsets(counts)
    flat = {
        field: np.concatenate([getattr(part, field) for part in parts])
        for field in ("scalars", "observers", "targets", "label", "weight", "event_hash")
    }
    return Examples(sets=sets, **flat)
