"""ROOT files to an Arrow shard: the needed branches of the selected events.

A shard is an Arrow IPC file with one row per example. Its columns: `scalar:...` for each scalar branch; `set:...` with a list of
structs for each set of constituents (all of them, no padding); `observer:...` for each observer that uses more than scalars;
`target:...` for each regressed quantity, NaN where there is none; all these are float32. Then `label`, `weight`, `split` (index
into splits.SPLITS) and `event_hash`. A float32 branch goes from uproot to disk without a copy. The receipt records what was read
and kept.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cyclotrain.contract import ALL, Layout, Set
from cyclotrain.contract.splits import SPLITS, event_hash, identifying_branches, split_index
from cyclotrain.core.errors import FileError, InputError
from cyclotrain.core.files import HashedFile, atomic, file_xxh3, write_json
from cyclotrain.core.provenance import commit, software
from cyclotrain.expressions import Expression
from cyclotrain.expressions.awkward_backend import AWKWARD
from cyclotrain.expressions.functions import LARGEST
from cyclotrain.ingest.columns import column, constituents, define, evaluate, selected
from cyclotrain.ingest.joined import Entries, friends_of_file, open_joined
from cyclotrain.ingest.ntuples import depths, identity, one_ahead, open_tree, read_batches
from cyclotrain.ingest.objects import examples
from cyclotrain.ingest.recipe import Recipe, check_branches, check_sum_of_weights
from cyclotrain.ingest.sources import is_remote
from cyclotrain.ingest.totals import ByClass, ExamplesPerEntry

_log = logging.getLogger(__name__)
# Bytes of uncompressed branches per batch. A job's memory is a small multiple of it, or of an RNTuple's largest cluster, whatever
# the file's size.
STEP = 25_000_000


def skim(
    recipe: Recipe,
    paths: Sequence[str],
    *,
    friends: Mapping[str, Sequence[str]],
    skip_broken: bool,
    shard: str | Path,
    receipt: str | Path,
) -> None:
    """Skim files, with the `friends` of each path, into one shard and its receipt; each is written whole or not at all.

    Raises FileError for files that are unreadable or have other branches. With `skip_broken`, the shard leaves out such a file,
    and the receipt names it with the reason. A failed network raises NetworkError even then, because the file may be intact.
    Raises InputError for NaN in weights, and for labels outside the classes.
    """
    skipped: dict[str, str] = {}
    stopwatch = _Stopwatch()
    while True:
        try:
            good = [path for path in paths if path not in skipped]
            results = _skim(recipe, good, friends=friends, shard=shard, stopwatch=stopwatch)
            break
        except _BrokenFileError as broken:
            if not skip_broken:
                raise broken.error from None
            skipped[broken.path] = str(broken.error)
            _log.warning("skipped, starting again without it: %s", broken.error)
    timing = stopwatch.timing(results["events_read"])
    _log.info(_summary(results["events_read"], results["events_kept"], timing, collection=recipe.object))
    write_json(
        receipt,
        {
            "sample": recipe.sample,
            **results,
            "skipped": [{"path": path, "reason": reason} for path, reason in skipped.items()],
            "branches": recipe.branches(),
            "recipe": recipe.to_dict(),
            "timing": timing,
        },
    )


def _summary(read: int, kept: int, timing: Mapping[str, float], *, collection: str | None) -> str:
    objects = f" {collection} objects" if collection else ""
    parts = ", ".join(f"{part} {timing[f'{part}_seconds']:.1f} s" for part in _Stopwatch.PARTS)
    return (
        f"{read:,} events read, {kept:,}{objects} kept in {timing['wall_seconds']:.1f} s "
        f"({timing['events_per_second']:,.0f} events/s): {parts}"
    )


class _Stopwatch:
    """Seconds since the start of the job, and seconds spent on each of its parts.

    Reading: the main thread waits for input. Writing runs beside the other two, so the parts need not add up to the wall time.
    """

    PARTS = ("reading", "computing", "writing")

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._seconds = dict.fromkeys(self.PARTS, 0.0)

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[part] += time.perf_counter() - start

    def timing(self, events: int) -> dict[str, float]:
        """The section of the receipt, for the events read so far."""
        wall = time.perf_counter() - self._start
        parts = {f"{part}_seconds": round(seconds, 3) for part, seconds in self._seconds.items()}
        return {"wall_seconds": round(wall, 3), **parts, "events_per_second": round(events / wall, 1)}


class _BrokenFileError(Exception):
    """A broken file, and its error."""

    def __init__(self, path: str, error: FileError) -> None:
        super().__init__(path)
        self.path, self.error = path, error


def _skim(
    recipe: Recipe, paths: Sequence[str], *, friends: Mapping[str, Sequence[str]], shard: str | Path, stopwatch: _Stopwatch
) -> dict[str, Any]:
    """Write the shard of all these files; gives their part of the receipt."""
    # While the main thread reads and computes, one helper thread counts and writes, and the other computes checksums.
    with atomic(shard) as temporary, ThreadPoolExecutor(2) as helper, _Writer(recipe, temporary, helper, stopwatch) as writer:
        origin = helper.submit(lambda: {"commit": commit(), "software": software()})
        files = []
        for path in paths:
            try:
                file = _skim_file(recipe, path, friends=friends.get(path, ()), writer=writer, helper=helper, stopwatch=stopwatch)
            except FileError as error:
                raise _BrokenFileError(path, error) from error
            files.append(file)
        xxh3 = writer.finish()
    return {
        "files": files,
        "events_read": sum(file["events"] for file in files),
        "events_kept": sum(file["kept"] for file in files),
        "by_class": writer.totals.by_class.totals,
        "examples_per_entry": asdict(writer.totals.per_entry),
        "constituents": writer.totals.constituents,
        "layout": asdict(writer.layout) if writer.layout else None,
        "shard_xxh3": xxh3,
        **origin.result(),
    }


def _skim_file(
    recipe: Recipe, path: str, *, friends: Sequence[str], writer: "_Writer", helper: ThreadPoolExecutor, stopwatch: _Stopwatch
) -> dict[str, Any]:
    """Add one file to the shard; gives its part of the receipt."""
    with ExitStack() as stack:
        with stopwatch.time("reading"):
            ntuple = stack.enter_context(open_joined(path, recipe.tree, friends_of_file(friends, recipe.friends)))
            ntuple.require_event_id(recipe.event_id)
            branch_depths = ntuple.depths(recipe.branches())
        checksum = None if is_remote(path) else helper.submit(file_xxh3, path)
        layout = check_branches(recipe, branch_depths, path)
        writer.begin(layout, path)
        kept = 0
        with one_ahead(ntuple.batches(recipe.branches(), STEP, event_id=recipe.event_id)) as batches:
            while True:
                with stopwatch.time("reading"):
                    entries = next(batches, None)
                if entries is None:
                    break
                with stopwatch.time("computing"):
                    batch = _select(recipe, layout, entries)
                kept += len(batch.label)
                writer.write(batch)
        with stopwatch.time("reading"):
            xxh3 = checksum.result() if checksum else None  # none for a remote file, which would be read twice
        file = {
            **identity(ntuple.tree, path),
            "xxh3": xxh3,
            "events": int(ntuple.tree.num_entries),
            "kept": kept,
            "friends": ntuple.identities(),
        }
    if recipe.sum_of_weights:
        with stopwatch.time("reading"):
            file["sum_of_generator_weights"] = _sum_of_generator_weights(recipe, path)
    return file


class _Writer:
    """Writes the shard, whose schema comes from the first file, and counts examples. The helper processes one batch at a time."""

    def __init__(self, recipe: Recipe, path: Path, helper: ThreadPoolExecutor, stopwatch: _Stopwatch) -> None:
        self._recipe, self._helper, self._stopwatch = recipe, helper, stopwatch
        self._file = HashedFile(path)
        self.layout: Layout | None = None
        self.totals = _Totals(recipe.classes or [ALL])
        self._first = ""
        self._schema = pa.schema([], metadata={"sample": recipe.sample})
        self._batches: Any = None
        self._written: Future[None] | None = None

    def begin(self, layout: Layout, path: str) -> None:
        """Begin a file; raises FileError if its layout is not that of the first."""
        if self.layout is None:
            self.layout, self._first = layout, path
            self._schema = _schema(self._recipe, layout)
            self._batches = pa.ipc.new_file(self._file, self._schema)
        elif layout != self.layout:
            raise FileError(f"{path}: other branches are jagged than in {self._first}; all files of a sample must have the same")

    def write(self, batch: "_Batch") -> None:
        self._wait()
        self._written = self._helper.submit(self._write, batch)

    def _write(self, batch: "_Batch") -> None:
        assert self.layout
        with self._stopwatch.time("writing"):
            self.totals.add(batch, self.layout)
            self._batches.write_batch(_to_arrow(batch, self.layout, self._schema))

    def finish(self) -> str:
        """Complete the shard; gives its XXH3."""
        self._wait()
        if self._batches is None:  # no file could be read
            self._batches = pa.ipc.new_file(self._file, self._schema)
        self._batches.close()
        self._file.close()
        return self._file.xxh3()

    def _wait(self) -> None:
        if self._written:
            self._written.result()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        if self._written:
            wait([self._written])  # the file must stay open while the helper writes to it
        self._file.close()


@dataclass(frozen=True)
class _Batch:
    """Selected examples: one array [n] per scalar, observer and target; a set has one array [n_constituents] per branch, and
    offsets [n + 1].
    """

    scalars: list[npt.NDArray[np.float32]]
    sets: dict[str, tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int32]]]
    observers: list[npt.NDArray[np.float32]]
    targets: list[npt.NDArray[np.float32]]
    label: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    split: npt.NDArray[np.uint8]
    event_hash: npt.NDArray[np.uint64]
    per_entry: ExamplesPerEntry


class _Totals:
    """Examples by class and split, and per entry; for each set, how many constituents `max_length` cuts off."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.by_class = ByClass(classes)
        self.per_entry = ExamplesPerEntry()
        self.constituents: dict[str, dict[str, int]] = {}

    def add(self, batch: _Batch, layout: Layout) -> None:
        self.per_entry += batch.per_entry
        self.by_class.add(batch.label, batch.weight, batch.split)
        for name, (_, offsets) in batch.sets.items():
            excess = np.maximum(np.diff(offsets) - (layout.sets[name].max_length or 0), 0)
            counts = self.constituents.setdefault(name, {"read": 0, "cut_off": 0, "examples_cut": 0})
            counts["read"] += int(offsets[-1])
            counts["cut_off"] += int(excess.sum())
            counts["examples_cut"] += int(np.count_nonzero(excess))


def _sum_of_generator_weights(recipe: Recipe, path: str) -> float:
    """The sum over all entries of the tree that holds the weights, before any selection."""
    assert recipe.sum_of_weights
    expression = Expression(recipe.sum_of_weights["sum"])
    with open_tree(path, recipe.sum_of_weights["tree"] or recipe.tree) as tree:
        check_sum_of_weights(expression, depths(tree, path, expression.branches), f"{path}: tree '{tree.name}'")
        if not expression.branches:
            return float(expression({}, AWKWARD)) * int(tree.num_entries)
        total = 0.0
        for values, n, where in read_batches(tree, path, expression.branches, STEP):
            weights = column(evaluate(expression, values, key="sum_of_weights.sum", where=where), n)
            total += float(weights.sum(dtype=np.float64))
    return total


def _select(recipe: Recipe, layout: Layout, entries: Entries) -> _Batch:
    values, n, where = entries.columns, entries.n, entries.where
    entry = np.arange(n)  # of each example
    if layout.object:
        values, counts = examples(values, layout, where)
        entry = np.repeat(entry, counts)
        n = len(entry)
    define(values, recipe.define, where)
    keep = selected(recipe.selection, values, n, where)
    kept = int(np.count_nonzero(keep))

    def cut(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return column if kept == n else column[keep]

    def number(key: str, text: str) -> npt.NDArray[Any]:
        return cut(column(evaluate(Expression(text), values, key=key, where=where), n))

    if not recipe.classes:
        label = np.zeros(kept, np.int32)
    elif recipe.label in recipe.classes:
        label = np.full(kept, recipe.classes.index(recipe.label), np.int32)
    else:
        label_values = number("label", recipe.label)
        label = _indices(label_values, recipe.classes, key="label", text=recipe.label, where=where).astype(np.int32)
    weight = _float32(number("weight", recipe.weight)) if recipe.weight else np.ones(kept, np.float32)
    if bad := int(np.count_nonzero(~np.isfinite(weight))):
        raise InputError(
            f"{where}: the weight '{recipe.weight}' is NaN or infinite, as float32, for {bad} selected events; remove them in "
            "'selection'"
        )
    entry = cut(entry)
    hashes = event_hash([column[entry] for column in entries.identity], recipe.seed)
    return _Batch(
        scalars=[_float32(cut(ak.to_numpy(values[branch]))) for branch in layout.scalars],
        sets={name: _constituents(features, values, keep, where) for name, features in layout.sets.items() if features.is_jagged},
        observers=[
            np.full(kept, np.nan, np.float32) if text in recipe.absent_observers else _float32(number(f"observer '{text}'", text))
            for text in layout.stored_observers
        ],
        targets=[_target(recipe, name, label, number, entries=entries, entry=entry) for name in layout.targets],
        label=label,
        weight=weight,
        split=_split(hashes, recipe, number, where),
        event_hash=hashes,
        per_entry=ExamplesPerEntry.from_counts(np.bincount(entry)),
    )


def _float32(column: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, as in the graph
        return column.astype(np.float32, copy=False)


def _target(
    recipe: Recipe,
    name: str,
    label: npt.NDArray[np.int32],
    number: Callable[[str, str], npt.NDArray[Any]],
    *,
    entries: Entries,
    entry: npt.NDArray[np.intp],
) -> npt.NDArray[np.float32]:
    """The true value of a quantity [n], NaN where there is none; `entry`: that of each example.

    Raises InputError where there should be one, but it is NaN, infinite, or 0 where ratios to it are asked for.
    """
    if name not in recipe.targets:
        return np.full(len(label), np.nan, np.float32)
    quantity = recipe.targets[name]
    target = _float32(number(f"regression.{name}.target", quantity["target"]))
    in_classes = np.isin(label, [recipe.classes.index(class_name) for class_name in quantity["classes"]])
    is_defined = in_classes if quantity["classes"] else np.ones(len(label), np.bool_)
    advice = "remove them in 'selection', replace the value with where(...), or name the 'classes' or 'samples' that have it"
    problems = {"NaN or infinite, as float32,": ~(np.abs(target) <= LARGEST)}
    if quantity["response"] == "ratio":
        problems["0, which 'response: ratio' divides by,"] = target == 0
    for problem, wrong in problems.items():
        if (bad := np.flatnonzero(is_defined & wrong)).size:
            examples_name, first = recipe.object or "events", _event(recipe, entries, entry[bad[0]])
            raise InputError(
                f"{entries.where}: regression.{name}.target: '{quantity['target']}' is {problem} for {bad.size} selected "
                f"{examples_name} of sample '{recipe.sample}', the first in {first}; {advice}"
            )
    return np.where(is_defined, target, np.float32(np.nan))


def _event(recipe: Recipe, entries: Entries, entry: np.intp) -> str:
    """An event in words, by what identifies it."""
    names = identifying_branches(recipe.event_id)
    if not names:
        return f"entry {int(entries.identity[-1][entry])}"
    return "the event " + ", ".join(f"{name} {column[entry]}" for name, column in zip(names, entries.identity, strict=True))


def _split(
    hashes: npt.NDArray[np.uint64], recipe: Recipe, number: Callable[[str, str], npt.NDArray[Any]], where: str
) -> npt.NDArray[np.uint8]:
    if not isinstance(recipe.split, str):
        return split_index(hashes, recipe.split)
    if recipe.split in SPLITS:
        return np.full(len(hashes), SPLITS.index(recipe.split), np.uint8)
    indices = _indices(number("split", recipe.split), SPLITS, key="split", text=recipe.split, where=where)
    return indices.astype(np.uint8)


def _indices(values: npt.NDArray[Any], names: Sequence[str], *, key: str, text: str, where: str) -> npt.NDArray[Any]:
    """The values of the expression `text`; raises InputError unless all are indices of `names`."""
    wrong = ~np.isin(values, np.arange(len(names)))  # NaN is in none of them
    if wrong.any():
        listed = ", ".join(f"{value:g}" for value in np.unique(values[wrong].astype(np.float64))[:5])
        known = ", ".join(f"{index} = {name}" for index, name in enumerate(names))
        raise InputError(
            f"{where}: the {key} '{text}' is {listed} for {int(wrong.sum())} selected events, but must be {known}; remove these "
            f"events in 'selection', or change '{key}'"
        )
    return values


def _constituents(
    features: Set, values: Mapping[str, Any], keep: npt.NDArray[np.bool_], where: str
) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int32]]:
    columns, counts = constituents(features.branches, values, where)
    if not keep.all():
        inside = np.repeat(keep, counts)
        columns, counts = [column[inside] for column in columns], counts[keep]
    if features.sort_by:
        scalars = {branch: value for branch, value in values.items() if branch not in features.branches}
        order = _order(features, columns, counts, scalars=scalars, keep=keep, where=where)
        columns = [column[order] for column in columns]
    return columns, np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _order(
    features: Set,
    columns: Sequence[npt.NDArray[np.float32]],
    counts: npt.NDArray[np.int64],
    *,
    scalars: Mapping[str, Any],
    keep: npt.NDArray[np.bool_],
    where: str,
) -> npt.NDArray[np.intp]:
    """The order of constituents by decreasing `sort_by` within each example, as in `features.sort_key`."""
    assert features.sort_by and features.valid
    flat = dict(zip(features.branches, columns, strict=True))
    sort_by, valid = Expression(features.sort_by), Expression(features.valid)
    for branch in {*sort_by.inputs, *valid.inputs} - set(flat):
        flat[branch] = np.repeat(ak.to_numpy(scalars[branch])[keep].astype(np.float32), counts)
    key = column(evaluate(sort_by, flat, key="sort_by", where=where), len(columns[0])).astype(np.float64)
    is_real = column(evaluate(valid, flat, key="valid", where=where), len(columns[0]))
    key = np.where(is_real & (np.abs(key) <= LARGEST), key, -np.inf)
    return np.lexsort((-key, np.repeat(np.arange(len(counts)), counts)))


def _struct(features: Set) -> pa.DataType:
    return pa.struct([(branch, pa.float32()) for branch in features.branches])


def _schema(recipe: Recipe, layout: Layout) -> pa.Schema:
    fields = [(f"scalar:{branch}", pa.float32()) for branch in layout.scalars]
    fields += [(f"set:{name}", pa.list_(_struct(features))) for name, features in layout.sets.items() if features.is_jagged]
    fields += [(f"observer:{text}", pa.float32()) for text in layout.stored_observers]
    fields += [(f"target:{name}", pa.float32()) for name in layout.targets]
    fields += [("label", pa.int32()), ("weight", pa.float32()), ("split", pa.uint8()), ("event_hash", pa.uint64())]
    return pa.schema(fields, metadata={"sample": recipe.sample, "layout": json.dumps(asdict(layout))})


def _to_arrow(batch: _Batch, layout: Layout, schema: pa.Schema) -> pa.RecordBatch:
    columns = list(map(_array, batch.scalars))
    for name, (branches, offsets) in batch.sets.items():
        struct = pa.StructArray.from_arrays(list(map(_array, branches)), fields=list(_struct(layout.sets[name])))
        columns.append(pa.ListArray.from_arrays(_array(offsets), struct))
    flat: list[npt.NDArray[Any]] = [*batch.observers, *batch.targets, batch.label, batch.weight, batch.split, batch.event_hash]
    columns += map(_array, flat)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _array(column: npt.NDArray[Any]) -> pa.Array:
    """Wrap without a copy. pa.array would import pandas, which costs each job a third of a second."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), [None, pa.py_buffer(column)])
