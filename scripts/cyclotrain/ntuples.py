"""Reading ROOT ntuples: trees and their branches, with errors that say what is wrong and where."""

import difflib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from cyclotrain.errors import InputError
from cyclotrain.expressions import Backend
from cyclotrain.recipe import require_branches

_DECOMPRESSING = 2  # threads: zlib, lz4 and zstd leave the interpreter free, so baskets are decompressed side by side

RNTUPLE = "ROOT::RNTuple"

AWKWARD = Backend(
    where=ak.where,
    # booleans and integers as float64, so that no arithmetic overflows in an 8-bit branch
    number=lambda x: x if isinstance(x, float) else ak.values_astype(x, np.float64),
    elementary=np,
)


@contextmanager
def open_tree(path: str, tree: str) -> Iterator[Any]:
    """The TTree or RNTuple `tree` of the file `path`; raises InputError if either is not there or not readable."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file (looked from {Path.cwd()})")
    with _reading(path):
        file = uproot.open(path)
    with file:
        size = Path(path).stat().st_size
        if size < file.file.fEND:
            raise InputError(f"{path}: truncated: it has {size} bytes, and its header says {file.file.fEND}; copy it again")
        names = sorted({name.split(";")[0] for name, kind in file.classnames().items() if kind in ("TTree", "TNtuple", RNTUPLE)})
        if tree not in names:
            near = difflib.get_close_matches(tree, names, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InputError(f"{path}: no tree '{tree}'; {hint}trees of this file: {', '.join(names) or 'none'}")
        with _reading(path):
            found = file[tree]
        yield found


def read_batches(tree: Any, path: str, branches: Sequence[str], step_size: str) -> Iterator[tuple[ak.Array, str]]:
    """The branches of a tree, `step_size` of uncompressed bytes at a time, each with words for where it stands."""
    with ThreadPoolExecutor(_DECOMPRESSING) as executor:
        batches = tree.iterate(branches, step_size=step_size, report=True, decompression_executor=executor)
        while True:
            with _reading(path):
                batch = next(batches, None)
            if batch is None:
                return
            columns, report = batch
            start, stop = (report.start, report.stop) if is_rntuple(tree) else (report.tree_entry_start, report.tree_entry_stop)
            yield columns, f"{path}: entries {start} to {stop - 1}"


def is_rntuple(tree: Any) -> bool:
    """Whether what `open_tree` gave is an RNTuple."""
    return bool(tree.classname == RNTUPLE)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """Turn what uproot raises on damaged bytes into an InputError that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # uproot raises many types on damaged bytes, struct.error and zlib's own among them
        text = str(error).strip().splitlines()
        reason = text[0] if text else type(error).__name__
        size = Path(path).stat().st_size
        raise InputError(
            f"{path}: cannot be read as a ROOT file; it may be truncated or damaged ({size} bytes; {type(error).__name__}: "
            f"{reason}). Copy it again, or take it out of the sample."
        ) from error


def depths(tree: Any, path: str, branches: Collection[str]) -> dict[str, int]:
    """For each branch, what it holds an entry: one number (0), a list of numbers (1), or a list of lists (2).

    Raises InputError for a branch that is missing (with the nearest names) or holds anything else.
    """
    require_branches(branches, tree.keys(), f"{path}: tree '{tree.name}'")
    return {branch: _depth(tree, path, branch) for branch in branches}


def _depth(tree: Any, path: str, branch: str) -> int:
    try:
        form = tree[branch].to_akform()[0].content(0) if is_rntuple(tree) else tree[branch].interpretation.awkward_form(tree.file)
    except (uproot.interpretation.objects.CannotBeAwkward, uproot.interpretation.identify.UnknownInterpretation):
        form = None
    depth = 0
    while isinstance(form, ak.forms.ListOffsetForm) and form.parameter("__array__") is None:
        form, depth = form.content, depth + 1
    is_number = isinstance(form, ak.forms.NumpyForm) and not form.inner_shape and np.dtype(form.primitive).kind in "biuf"
    if not is_number or depth > 2:
        raise InputError(
            f"{path}: branch '{branch}' of tree '{tree.name}' is of type {tree[branch].typename}; "
            "a number, a list of numbers, or a list of such lists an entry is needed"
        )
    return depth
