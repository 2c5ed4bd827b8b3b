"""One example an object: the branches of events as each object of one collection sees them.

Branches of the collection, such as `Jet_pt` of `Jet`, become one number an example, those of events and of other
collections are repeated for each of an event's objects, and constituents become those of the object, found by one of four
layouts: a list an object in the file; the number of each object's constituents, which follow one another; an index table, as
in NanoAOD; or the object's index held by each constituent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Layout, Link, belongs_to
from cyclotrain.core.errors import InputError

Ints = npt.NDArray[np.int64]


def examples(values: Mapping[str, Any], layout: Layout, where: str) -> tuple[dict[str, Any], Ints]:
    """Branches of events [n_events] as those of objects [n_objects], and the number of objects in each event.

    Raises InputError for counts and indices that do not fit, naming the entry.
    """
    collection = layout.object
    assert collection is not None
    counts = _counts(values, collection, where)
    found: dict[str, Any] = {}
    linked = {branch for of_set in layout.sets.values() if of_set.link for branch in of_set.branches}
    event = np.repeat(np.arange(len(counts)), counts)
    for branch, array in values.items():
        if array.ndim > 1 and (belongs_to(branch, collection) or array.ndim == 3):
            _same(_num(array), counts, f"'{branch}' has", f"branches of {collection} have", where)
            found[branch] = _flat(array)
        elif branch not in linked:  # of the event, and of other collections for expressions of ingest
            found[branch] = array[event]
    for of_set in layout.sets.values():
        if of_set.link:
            found |= _linked(values, of_set.branches, of_set.link, counts, where)
    return found, counts


def _flat(array: ak.Array) -> Any:
    """Without the lists of events; numbers as a NumPy array, as ntuples.columns_of has them."""
    flat = ak.flatten(array, axis=1)
    return ak.to_numpy(flat) if flat.ndim == 1 else flat


def _counts(values: Mapping[str, Any], collection: str, where: str) -> Ints:
    for branch, array in values.items():
        if belongs_to(branch, collection) and array.ndim > 1:
            return _num(array)
    raise InputError(f"{where}: no branch of {collection} is read, so the number of {collection} is not known")


def _same(found: Ints, expected: Ints, here: str, there: str, where: str) -> None:
    if (different := np.flatnonzero(found != expected)).size:
        entry = int(different[0])
        raise InputError(f"{where}: {here} {found[entry]} elements in entry {entry} of these, and {there} {expected[entry]}")


def _starts(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _linked(values: Mapping[str, Any], branches: Sequence[str], link: Link, counts: Ints, where: str) -> dict[str, Any]:
    """The constituents of each object: jagged arrays [n_objects]."""
    objects = _starts(counts)
    if link.count:
        _same(ak.to_numpy(ak.num(values[link.count])), counts, f"'{link.count}' has", "there are objects:", where)
        for branch in branches[1:]:
            _same(_num(values[branch]), _num(values[branches[0]]), f"'{branch}' has", f"'{branches[0]}' has", where)
        of_object = _integers(values, link.count, where)
        if (negative := of_object[of_object < 0]).size:
            raise InputError(f"{where}: '{link.count}' is {negative[0]}, and is to be a number of constituents")
        before = _starts(of_object)
        in_event = before[objects[1:]] - before[objects[:-1]]
        # where an event's constituents begin in the branch, less where they begin among those that belong to an object
        shift = np.repeat(_starts(_num(values[branches[0]]))[:-1] - before[objects[:-1]], in_event)
        order = np.arange(before[-1]) + shift
        _not_more(in_event, _num(values[branches[0]]), link.count, branches[0], where)
        return {branch: _gathered(values[branch], order, before) for branch in branches}
    assert link.object_index
    index = _integers(values, link.object_index, where)
    event = np.repeat(np.arange(len(counts)), _num(values[link.object_index]))
    if (wrong := np.flatnonzero(index >= counts[event])).size:
        entry = int(event[wrong[0]])
        raise InputError(
            f"{where}: '{link.object_index}' is {index[wrong[0]]} in entry {entry} of these, which has {counts[entry]} objects"
        )
    belongs = np.flatnonzero(index >= 0)  # a negative one belongs to no object
    owner = objects[event[belongs]] + index[belongs]
    order = belongs[np.argsort(owner, kind="stable")]
    starts = _starts(np.bincount(owner, minlength=int(objects[-1])))
    table = link.object_index.rpartition("_")[0]
    found = {}
    through_table = [branch for branch in branches if link.constituent_index and not belongs_to(branch, table)]
    for branch in branches:
        if branch in through_table:
            _same(_num(values[branch]), _num(values[through_table[0]]), f"'{branch}' has", f"'{through_table[0]}' has", where)
            found[branch] = _gathered(values[branch], _through(values, link, branch, event, order, where), starts)
        else:
            _same(_num(values[branch]), _num(values[link.object_index]), f"'{branch}' has", f"'{link.object_index}' has", where)
            found[branch] = _gathered(values[branch], order, starts)
    return found


def _num(array: Any) -> Ints:
    return ak.to_numpy(ak.num(array)).astype(np.int64)


def _integers(values: Mapping[str, Any], branch: str, where: str) -> Ints:
    """Of all entries, one after another; raises InputError where a floating-point branch has anything else."""
    flat = ak.to_numpy(ak.flatten(values[branch]))
    if flat.dtype.kind == "f" and (wrong := flat[~(np.isfinite(flat) & (flat == np.trunc(flat)))]).size:
        raise InputError(f"{where}: '{branch}' is {wrong[0]:g}, and a whole number is needed")
    return flat.astype(np.int64)


def _not_more(in_event: Ints, there: Ints, count: str, branch: str, where: str) -> None:
    if (wrong := np.flatnonzero(in_event > there)).size:
        entry = int(wrong[0])
        raise InputError(
            f"{where}: '{count}' sums to {in_event[entry]} in entry {entry} of these, and '{branch}' has {there[entry]} elements"
        )


def _through(values: Mapping[str, Any], link: Link, branch: str, event: Ints, order: Ints, where: str) -> Ints:
    """Positions in `branch` that the table's entries `order` point at."""
    assert link.constituent_index
    position = _integers(values, link.constituent_index, where)[order]
    in_event, n = event[order], _num(values[branch])
    if (wrong := np.flatnonzero((position < 0) | (position >= n[in_event]))).size:
        entry = int(in_event[wrong[0]])
        raise InputError(
            f"{where}: '{link.constituent_index}' is {position[wrong[0]]} in entry {entry} of these, where '{branch}' has "
            f"{n[entry]} elements"
        )
    return _starts(n)[in_event] + position


def _gathered(array: Any, order: Ints, starts: Ints) -> ak.Array:
    content = ak.to_numpy(ak.flatten(array))[order]
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(starts), ak.contents.NumpyArray(content)))
