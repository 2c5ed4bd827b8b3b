"""One example per object: the branches of events, as each object of one collection sees them.

Branches of the collection, such as `Jet_pt` of `Jet`, become one number per example. Branches of the event and of other
collections are repeated for each of the event's objects. Constituents become those of the object, by one of four layouts: a list
per object in the file; the number of constituents of each object, which follow one another; an index table, as in NanoAOD; or
the object's index, stored with each constituent.
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
    """Convert branches of events [n_events] to branches of objects [n_objects]; also gives the number of objects per event.

    Raises InputError, naming the entry, for inconsistent counts and indices.
    """
    collection = layout.object
    assert collection is not None
    counts = _object_counts(values, collection, where)
    by_object: dict[str, Any] = {}
    linked = {branch for features in layout.sets.values() if features.link for branch in features.branches}
    event = np.repeat(np.arange(len(counts)), counts)
    for branch, array in values.items():
        if array.ndim > 1 and (belongs_to(branch, collection) or array.ndim == 3):
            _check_lengths(_lengths(array), counts, f"'{branch}' has", f"branches of {collection} have", where)
            by_object[branch] = _flat(array)
        elif branch not in linked:  # of the event, or of another collection, for the expressions of ingest
            by_object[branch] = array[event]
    for features in layout.sets.values():
        if features.link:
            linked_branches = _link_by_count if features.link.count else _link_by_index
            by_object |= linked_branches(values, features.branches, features.link, counts=counts, where=where)
    return by_object, counts


def _flat(array: ak.Array) -> Any:
    """Remove the lists of events; numbers become a NumPy array, as ntuples.read_columns gives them."""
    flat = ak.flatten(array, axis=1)
    return ak.to_numpy(flat) if flat.ndim == 1 else flat


def _object_counts(values: Mapping[str, Any], collection: str, where: str) -> Ints:
    for branch, array in values.items():
        if belongs_to(branch, collection) and array.ndim > 1:
            return _lengths(array)
    raise InputError(f"{where}: the number of {collection} is unknown, because no branch of {collection} is used; use one")


def _check_lengths(lengths: Ints, expected: Ints, subject: str, other: str, where: str) -> None:
    """Raise InputError for lists of other lengths; `subject` and `other`: the beginnings of the two clauses of the message."""
    if (different := np.flatnonzero(lengths != expected)).size:
        entry = int(different[0])
        raise InputError(f"{where}: {subject} {lengths[entry]} elements in entry {entry} of these, and {other} {expected[entry]}")


def _starts(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _link_by_count(values: Mapping[str, Any], branches: Sequence[str], link: Link, *, counts: Ints, where: str) -> dict[str, Any]:
    """The constituents of each object, jagged arrays [n_objects], from the number of constituents of each object."""
    assert link.count
    first, objects = branches[0], _starts(counts)
    lengths = _lengths(values[first])
    _check_lengths(_lengths(values[link.count]), counts, f"'{link.count}' has", "there are objects:", where)
    for branch in branches[1:]:
        _check_lengths(_lengths(values[branch]), lengths, f"'{branch}' has", f"'{first}' has", where)
    per_object = _integers(values, link.count, where)
    if (negative := per_object[per_object < 0]).size:
        raise InputError(f"{where}: '{link.count}' is {negative[0]}, but must be a number of constituents")
    starts = _starts(per_object)
    per_event = starts[objects[1:]] - starts[objects[:-1]]
    if (too_many := np.flatnonzero(per_event > lengths)).size:
        entry = int(too_many[0])
        raise InputError(
            f"{where}: '{link.count}' sums to {per_event[entry]} in entry {entry} of these, and '{first}' has {lengths[entry]} "
            "elements"
        )
    # where an event's constituents begin in the branch, minus where they begin among those that belong to an object
    shift = np.repeat(_starts(lengths)[:-1] - starts[objects[:-1]], per_event)
    order = np.arange(starts[-1]) + shift
    return {branch: _gathered(values[branch], order, starts) for branch in branches}


def _link_by_index(values: Mapping[str, Any], branches: Sequence[str], link: Link, *, counts: Ints, where: str) -> dict[str, Any]:
    """The constituents of each object, jagged arrays [n_objects], from the object's index, perhaps in an index table."""
    assert link.object_index
    objects = _starts(counts)
    index = _integers(values, link.object_index, where)
    event = np.repeat(np.arange(len(counts)), _lengths(values[link.object_index]))
    if (wrong := np.flatnonzero(index >= counts[event])).size:
        entry = int(event[wrong[0]])
        raise InputError(
            f"{where}: '{link.object_index}' is {index[wrong[0]]} in entry {entry} of these, which has {counts[entry]} objects"
        )
    belongs = np.flatnonzero(index >= 0)  # a negative index belongs to no object
    owner = objects[event[belongs]] + index[belongs]
    order = belongs[np.argsort(owner, kind="stable")]
    starts = _starts(np.bincount(owner, minlength=int(objects[-1])))
    table = _collection(link.object_index)
    by_object = {}
    through_table = [branch for branch in branches if link.constituent_index and not belongs_to(branch, table)]
    for branch in branches:
        reference = through_table[0] if branch in through_table else link.object_index
        _check_lengths(_lengths(values[branch]), _lengths(values[reference]), f"'{branch}' has", f"'{reference}' has", where)
        positions = _positions(values, branch, link, event=event, order=order, where=where) if branch in through_table else order
        by_object[branch] = _gathered(values[branch], positions, starts)
    return by_object


def _collection(branch: str) -> str:
    """The collection that a branch belongs to: `Tracks` for `Tracks_jet`, `Tracks.jet_index` and `Tracks:jet_index`."""
    name = branch.rpartition("/")[2]
    separator = next((separator for separator in ":." if separator in name), "_")
    return name.rpartition(separator)[0]


def _lengths(array: Any) -> Ints:
    return ak.to_numpy(ak.num(array)).astype(np.int64)


def _integers(values: Mapping[str, Any], branch: str, where: str) -> Ints:
    """The numbers of all entries, one after another. Raises InputError if a floating-point branch has other than integers."""
    flat = ak.to_numpy(ak.flatten(values[branch]))
    if flat.dtype.kind == "f" and (wrong := flat[~(np.isfinite(flat) & (flat == np.trunc(flat)))]).size:
        raise InputError(f"{where}: '{branch}' is {wrong[0]:g}, but must be a whole number")
    return flat.astype(np.int64)


def _positions(values: Mapping[str, Any], branch: str, link: Link, *, event: Ints, order: Ints, where: str) -> Ints:
    """Positions in `branch` that the table's entries `order` point to."""
    assert link.constituent_index
    index = _integers(values, link.constituent_index, where)[order]
    events, lengths = event[order], _lengths(values[branch])
    if (wrong := np.flatnonzero((index < 0) | (index >= lengths[events]))).size:
        entry = int(events[wrong[0]])
        raise InputError(
            f"{where}: '{link.constituent_index}' is {index[wrong[0]]} in entry {entry} of these, where '{branch}' has "
            f"{lengths[entry]} elements"
        )
    return _starts(lengths)[events] + index


def _gathered(array: Any, order: Ints, starts: Ints) -> ak.Array:
    elements = ak.to_numpy(ak.flatten(array))[order]
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(starts), ak.contents.NumpyArray(elements)))
