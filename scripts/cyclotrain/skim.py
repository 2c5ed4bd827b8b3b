"""ROOT files to an Arrow shard: the branches that are needed, of the events that are selected.

A shard is an Arrow IPC file, one row an example: `scalars` (fixed-size list of float32), a list of structs for each set of
constituents (all of them, no padding; a float32 branch goes from uproot to disk without a copy), `observers`, `label`,
`weight`, `split` (index into splits.SPLITS) and `event_hash`. Its receipt tells what was read and kept.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cyclotrain.columns import column, constituents, define, evaluate, selected
from cyclotrain.contract import Layout, Set
from cyclotrain.errors import InputError
from cyclotrain.expressions import Expression
from cyclotrain.ntuples import depths, open_tree, read_batches
from cyclotrain.objects import examples
from cyclotrain.provenance import atomic, commit, file_sha256, file_xxh3, software, write_json
from cyclotrain.recipe import Recipe, check_branches
from cyclotrain.splits import SPLITS, event_hash, split_index

STEP = "50 MB"  # of uncompressed branches; the memory of a job is a small multiple, whatever the file's size


def skim(recipe: Recipe, paths: Sequence[str], shard: str | Path, receipt: str | Path) -> None:
    """Skim the files of `paths` into one shard and its receipt, both whole or not there.

    Raises InputError for files that cannot be used, for NaN in labels or weights, and for labels outside the classes.
    """
    files: list[dict[str, Any]] = []
    totals = _Totals(recipe.classes)
    found: Layout | None = None
    # One helper writes and checksums, which is disk and memory bandwidth, while the next batch is read.
    with atomic(shard) as temporary, ExitStack() as opened, ThreadPoolExecutor(1) as helper:
        origin = helper.submit(lambda: {"commit": commit(), "software": software()})
        writer = None
        written: Future[None] | None = None
        for path in paths:
            with open_tree(path, recipe.tree) as tree:
                checksum = helper.submit(file_sha256, path)
                of_file = check_branches(recipe, depths(tree, path, recipe.branches()), path)
                if found is not None and of_file != found:
                    raise InputError(f"{path}: other branches are jagged than in {paths[0]}")
                found = of_file
                writer = writer or opened.enter_context(pa.ipc.new_file(str(temporary), _schema(found)))
                before = totals.kept
                for batch in _batches(recipe, found, tree, path):
                    totals.add(batch)
                    if written:
                        written.result()
                    written = helper.submit(writer.write_batch, _to_arrow(batch, found))
                kept, events = totals.kept - before, tree.num_entries
                files.append({"path": path, "sha256": checksum.result(), "events": events, "kept": kept})
        if written:
            written.result()
    assert found is not None
    write_json(
        receipt,
        {
            "sample": recipe.sample,
            "files": files,
            "events_read": sum(file["events"] for file in files),
            "events_kept": totals.kept,
            "by_class": totals.by_class,
            "branches": recipe.branches(),
            "layout": asdict(found),
            "recipe": recipe.to_dict(),
            "shard_xxh3": file_xxh3(shard),
            **origin.result(),
        },
    )


@dataclass(frozen=True)
class _Batch:
    """Selected examples as flat arrays; a set is (a column [n_constituents] a branch, offsets [n + 1])."""

    scalars: npt.NDArray[np.float32]
    sets: dict[str, tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int32]]]
    observers: npt.NDArray[np.float32]
    label: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    split: npt.NDArray[np.uint8]
    event_hash: npt.NDArray[np.uint64]


class _Totals:
    """Number of examples and sums of weights, by class and split."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.kept = 0
        self.by_class = {name: {split: {"events": 0, "sum_of_weights": 0.0} for split in SPLITS} for name in classes}

    def add(self, batch: _Batch) -> None:
        self.kept += len(batch.label)
        for index, splits in enumerate(self.by_class.values()):
            for number, total in enumerate(splits.values()):
                rows = (batch.label == index) & (batch.split == number)
                total["events"] += int(rows.sum())
                total["sum_of_weights"] += float(batch.weight[rows].sum(dtype=np.float64))


def _batches(recipe: Recipe, found: Layout, tree: Any, path: str) -> Iterator[_Batch]:
    branches = recipe.branches()
    for columns, where in read_batches(tree, path, branches, STEP):
        values, n = {name: columns[name] for name in branches}, len(columns)
        if found.object:
            values, counts = examples(values, found, where)
            n = int(counts.sum())
        define(values, recipe.define, where)
        yield _select(recipe, found, values, n, where)


def _select(recipe: Recipe, found: Layout, values: Mapping[str, Any], n: int, where: str) -> _Batch:
    def number(key: str, text: str) -> npt.NDArray[Any]:
        return column(evaluate(key, Expression(text), values, where), n)[keep]

    keep = selected(recipe.selection, values, n, where)
    if recipe.label in recipe.classes:
        label = np.full(n, recipe.classes.index(recipe.label), np.int32)[keep]
    else:
        label = _labels(number("label", recipe.label), recipe, where)
    weight = number("weight", recipe.weight) if recipe.weight else np.ones(keep.sum(), np.float32)
    if bad := int(np.count_nonzero(~np.isfinite(weight))):
        raise InputError(
            f"{where}: the weight '{recipe.weight}' is NaN or infinite for {bad} selected events; cut them away in 'selection'"
        )
    hashes = event_hash([ak.to_numpy(values[branch])[keep] for branch in recipe.event_id], recipe.seed)
    observers = [number(f"baseline feature '{text}'", text) for text in found.observers]
    return _Batch(
        scalars=_rows([ak.to_numpy(values[branch])[keep] for branch in found.scalars], int(keep.sum())),
        sets={name: _constituents(features, values, keep, where) for name, features in found.sets.items() if features.is_jagged},
        observers=_rows(observers, int(keep.sum())),
        label=label,
        weight=weight.astype(np.float32),
        split=split_index(hashes, recipe.split),
        event_hash=hashes,
    )


def _rows(columns: Sequence[npt.NDArray[Any]], n: int) -> npt.NDArray[np.float32]:
    rows = np.empty((n, len(columns)), np.float32)
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, as in the graph
        for index, column in enumerate(columns):
            rows[:, index] = column
    return rows


def _labels(values: npt.NDArray[Any], recipe: Recipe, where: str) -> npt.NDArray[np.int32]:
    wrong = ~np.isin(values, np.arange(len(recipe.classes)))  # NaN is in none of them
    if wrong.any():
        examples = ", ".join(f"{value:g}" for value in np.unique(values[wrong].astype(np.float64))[:5])
        known = ", ".join(f"{index} = {name}" for index, name in enumerate(recipe.classes))
        raise InputError(
            f"{where}: the label '{recipe.label}' is {examples} for {int(wrong.sum())} selected events, and the classes are "
            f"{known}; cut these events away in 'selection', or change 'label'"
        )
    return values.astype(np.int32)


def _constituents(
    features: Set, values: Mapping[str, Any], keep: npt.NDArray[np.bool_], where: str
) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int32]]:
    columns, counts = constituents(features.branches, values, where)
    if not keep.all():
        inside = np.repeat(keep, counts)
        columns, counts = [column[inside] for column in columns], counts[keep]
    return columns, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _struct(features: Set) -> pa.DataType:
    return pa.struct([(branch, pa.float32()) for branch in features.branches])


def _schema(found: Layout) -> pa.Schema:
    fields = [("scalars", pa.list_(pa.float32(), len(found.scalars)))]
    fields += [(f"set:{name}", pa.list_(_struct(features))) for name, features in found.sets.items() if features.is_jagged]
    fields += [("observers", pa.list_(pa.float32(), len(found.observers)))]
    fields += [("label", pa.int32()), ("weight", pa.float32()), ("split", pa.uint8()), ("event_hash", pa.uint64())]
    return pa.schema(fields, metadata={"layout": json.dumps(asdict(found))})


def _to_arrow(batch: _Batch, found: Layout) -> pa.RecordBatch:
    def rows(values: npt.NDArray[np.float32]) -> pa.Array:
        # pyarrow cannot tell the number of rows of an array with no columns
        type_ = pa.list_(pa.float32(), values.shape[1])
        if values.shape[1] == 0:
            return pa.array([[]] * len(values), type_)
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=type_)

    columns = [rows(batch.scalars)]
    for name, (of_branches, offsets) in batch.sets.items():
        struct = pa.StructArray.from_arrays(list(map(pa.array, of_branches)), fields=list(_struct(found.sets[name])))
        columns.append(pa.ListArray.from_arrays(pa.array(offsets), struct))
    columns += [rows(batch.observers), *map(pa.array, (batch.label, batch.weight, batch.split, batch.event_hash))]
    return pa.RecordBatch.from_arrays(columns, schema=_schema(found))
