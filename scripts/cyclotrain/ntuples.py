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

AWKWARD = Backend(
    where=ak.where,
    # booleans and integers as float64, so that no arithmetic overflows in an 8-bit branch
    number=lambda x: x if isinstance(x, float) else ak.values_astype(x, np.float64),
    elementary=np,
)


@contextmanager
def open_tree(path: str, tree: str) -> Iterator[Any]:
    """The TTree `tree` of the file `path`; raises InputError if either is not there or not readable."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file (looked from {Path.cwd()})")
    with _reading(path):
        file = uproot.open(path)
    with file:
        size = Path(path).stat().st_size
        if size < file.file.fEND:
            raise InputError(f"{path}: truncated: it has {size} bytes, and its header says {file.file.fEND}; copy it again")
        names = sorted({name.split(";")[0] for name, kind in file.classnames().items() if kind == "TTree"})
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
            yield columns, f"{path}: entries {report.tree_entry_start} to {report.tree_entry_stop - 1}"


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


def jaggedness(tree: Any, path: str, branches: Collection[str]) -> dict[str, bool]:
    """For each branch, whether it holds a list of numbers an entry (True) or one number (False).

    Raises InputError for a branch that is missing (with the nearest names) or holds anything else.
    """
    require_branches(branches, tree.keys(), f"{path}: tree '{tree.name}'")
    found = {}
    for branch in branches:
        interpretation = tree[branch].interpretation
        is_jagged = isinstance(interpretation, uproot.AsJagged)
        numbers = interpretation.content if is_jagged else interpretation
        if not isinstance(numbers, uproot.AsDtype) or numbers.to_dtype.shape or numbers.to_dtype.kind not in "biuf":
            raise InputError(
                f"{path}: branch '{branch}' of tree '{tree.name}' is of type {tree[branch].typename}; "
                "a number or a list of numbers an entry is needed"
            )
        found[branch] = is_jagged
    return found
