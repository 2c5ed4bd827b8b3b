"""Read ROOT ntuples: trees and their branches, with errors that say what is wrong and where."""

import difflib
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import awkward as ak
import numpy as np
import uproot

from cyclotrain.core.errors import FileError, InputError
from cyclotrain.ingest.recipe import require_branches
from cyclotrain.ingest.sources import is_remote

# XRootD's client waits for half an hour by default. The user's own settings take precedence.
for _name, _seconds in {"XRD_CONNECTIONWINDOW": 15, "XRD_CONNECTIONRETRY": 2, "XRD_REQUESTTIMEOUT": 120}.items():
    os.environ.setdefault(_name, str(_seconds))

_TRIES = 4
# Matched by message: XRootD's client has no error types, and uproot may raise a TypeError that only names aiohttp's error.
_NETWORK = re.compile(
    r"connection|socket|expired|timed? ?out|interrupted|cannot connect|disconnected|reset by peer|client\w+error"
    "|payload is not completed",
    re.IGNORECASE,
)
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class NetworkError(InputError):
    """The network failed, and another try may help. Not a FileError, because the file may be intact."""


_DECOMPRESSION_THREADS = 2  # zlib, lz4 and zstd release the GIL, so baskets are decompressed in parallel

# Local files are read in the calling thread: fsspec, which uproot uses by default, takes up to twice as long.
PLAIN_READS = {"handler": uproot.MultithreadedFileSource, "use_threads": False}

RNTUPLE = "ROOT::RNTuple"


@contextmanager
def open_tree(path: str, tree: str | Sequence[str]) -> Iterator[Any]:
    """Open the TTree or RNTuple `tree` of the file or URL `path`; of several names, the first that the file has.

    Raises FileError if the file or the tree is missing or unreadable, and NetworkError after some tries.
    """
    if not is_remote(path) and not Path(path).is_file():
        raise FileError(f"{path}: no such file (searched from {Path.cwd()})")
    for tried in range(_TRIES):
        try:
            file, opened = _open(path, tree)
            break
        except NetworkError as error:
            _wait(tried, error)
    with file:
        yield opened


def _open(path: str, tree: str | Sequence[str]) -> tuple[Any, Any]:
    with reading(path):
        file = uproot.open(path, **({} if is_remote(path) else PLAIN_READS))
    with ExitStack() as stack:
        stack.enter_context(file)
        size = file.file.source.num_bytes
        if size < file.file.fEND:
            raise FileError(f"{path}: truncated: it has {size} bytes, and its header says {file.file.fEND}; copy it again")
        opened = _tree(file, path, tree)
        stack.pop_all()
    return file, opened


def _tree(file: Any, path: str, tree: str | Sequence[str]) -> Any:
    wanted = [tree] if isinstance(tree, str) else list(tree)
    names = sorted({name.split(";")[0] for name, kind in file.classnames().items() if kind in ("TTree", "TNtuple", RNTUPLE)})
    name = next((name for name in wanted if name in names), None)
    if name is None:
        near = difflib.get_close_matches(wanted[0], names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        missing = " or ".join(f"'{name}'" for name in wanted)
        raise FileError(f"{path}: no tree {missing}; {hint}trees of this file: {', '.join(names) or 'none'}")
    with reading(path):
        opened = file[name]
        int(opened.num_entries)  # makes an RNTuple read its page lists here, where a failed network is tried again
        return opened


def identity(tree: Any, path: str) -> dict[str, Any]:
    """What identifies a file without reading it: its size, and the UUID that ROOT gave it on creation."""
    return {"path": path, "bytes": int(tree.file.source.num_bytes), "uuid": str(tree.file.uuid)}


def read_columns(tree: Any, branches: Sequence[str], entries: range | None = None) -> dict[str, Any]:
    """Read branches of a tree, of these `entries` or of all.

    One column per branch: awkward arrays for lists, NumPy arrays [n] for numbers, whose arithmetic costs less than awkward.
    """
    paths = _paths(tree, branches)
    limits = {"entry_start": entries.start, "entry_stop": entries.stop} if entries else {}
    return _columns(tree.arrays(**_selected(tree, paths), **limits), paths)


def _columns(batch: ak.Array, paths: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return {branch: _column(batch[path].layout if path[1:] else batch.layout.content(path[0])) for branch, path in paths.items()}


def _column(layout: ak.contents.Content) -> Any:
    """Arrays of a fixed size become lists, whose lengths happen to be equal."""
    return ak.to_numpy(layout) if layout.purelist_depth == 1 else ak.from_regular(layout, axis=None)


def _paths(tree: Any, branches: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Where each branch is in the records that uproot reads: `v.pt` of an RNTuple, and of a leaf list, is field `pt` of `v`."""
    known = _known_paths(tree)
    return {branch: known[branch] for branch in branches}


def _known_paths(tree: Any) -> dict[str, tuple[str, ...]]:
    """For each name by which a branch can be read."""
    if is_rntuple(tree):
        return {name: (name,) if field.top_level else tuple(name.split(".")) for name, field in tree.iteritems()}
    branches = dict(tree.iteritems())
    own = {path: path.rpartition("/")[2] for path in branches}
    count = Counter(own.values())
    unique = [name for name, n in count.items() if n == 1]
    known: dict[str, tuple[str, ...]] = {name: (name,) for name in (*unique, *branches)}
    for path, branch in branches.items():
        name = _name_in_root(path)
        known.setdefault(name, (path,))
        leaves = [leaf.member("fName") for leaf in branch.member("fLeaves")]
        if len(leaves) > 1:
            known = {f"{name}.{leaf}": (path, leaf) for leaf in leaves} | known
    return known


def _name_in_root(path: str) -> str:
    """`vertex.fit.chi2` for uproot's `vertex/fit/fit.chi2`, and `Jet.PT` for `Jet/Jet.PT`."""
    name, *inner = path.split("/")
    parent = name
    for part in inner:
        name, parent = f"{name.rstrip('.')}.{part.removeprefix(parent.rstrip('.') + '.')}", part
    return name


def _selected(tree: Any, paths: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The argument that makes uproot read these branches and no others."""
    if is_rntuple(tree):
        ids = {tree[branch].field_id for branch in paths}  # a name would also select `v.pt` for `pt`
        return {"filter_field": lambda field: field.field_id in ids}
    return {"expressions": _first_fields(paths)}


def _first_fields(paths: Mapping[str, tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(path[0] for path in paths.values()))


def read_batches(tree: Any, path: str, branches: Sequence[str], step_size: int) -> Iterator[tuple[dict[str, Any], int, str]]:
    """Read branches of a tree, about `step_size` uncompressed bytes at a time: columns, their length, and a text for their place.

    If the network fails, reopens the file and continues after the last batch. Raises NetworkError after some tries, and FileError
    if the tree ends before its last entry.
    """
    done, tried = 0, 0
    paths = _paths(tree, branches)
    with ExitStack() as stack, ThreadPoolExecutor(_DECOMPRESSION_THREADS) as executor:
        here = tree
        while done < tree.num_entries:
            try:
                with reading(path):
                    step = _entries(here, paths, step_size)
                if is_rntuple(here):
                    batches = _clusters(here, paths, first=done, step=step, step_size=step_size)
                else:
                    batches = here.iterate(
                        _first_fields(paths), step_size=step, decompression_executor=executor, entry_start=done
                    )
                while True:
                    with reading(path):
                        batch = next(batches, None)
                    if batch is None:
                        break
                    first = done
                    done, tried = done + len(batch), 0
                    yield _columns(batch, paths), len(batch), f"{path}: entries {first} to {done - 1}"
            except NetworkError as error:
                _wait(tried, error)
                tried += 1
                here = stack.enter_context(open_tree(path, tree.name))
                continue
            if done != tree.num_entries:
                raise FileError(f"{path}: the tree claims {tree.num_entries} entries, but only {done} can be read; copy it again")


@contextmanager
def one_ahead(batches: Iterator[_T]) -> Iterator[Iterator[_T]]:
    """The same batches, each read while the previous one is processed; reading stops at the end of the block."""
    with ThreadPoolExecutor(1) as reader:
        yield _one_ahead(batches, reader)


def _one_ahead(batches: Iterator[_T], reader: Executor) -> Iterator[_T]:
    following = reader.submit(next, batches, None)
    while (batch := following.result()) is not None:
        following = reader.submit(next, batches, None)
        yield batch


def _clusters(tree: Any, paths: Mapping[str, tuple[str, ...]], *, first: int, step: int, step_size: int) -> Iterator[ak.Array]:
    """Whole clusters of an RNTuple; a cluster larger than a step is cut after reading.

    uproot decompresses a whole cluster for any of its entries, and would repeat that in each step that has some of them. If a
    range ends where a cluster ends, uproot also reads the next cluster; the cache keeps it. So the memory is a small multiple of
    a step or of the largest cluster.
    """
    ends = np.cumsum([cluster.num_entries for cluster in tree.ntuple.cluster_summaries])
    largest = max(step, int(np.diff(ends, prepend=0).max()))
    cache = uproot.LRUArrayCache(2 * step_size * largest // step)
    while first < tree.num_entries:
        last = int(ends[max(np.searchsorted(ends, first + step, "right") - 1, np.searchsorted(ends, first, "right"))])
        columns = tree.arrays(**_selected(tree, paths), entry_start=first, entry_stop=last, array_cache=cache)
        yield from (columns[start : start + step] for start in range(0, last - first, step))
        del columns
        first = last


def _entries(tree: Any, paths: Mapping[str, tuple[str, ...]], step_size: int) -> int:
    """The number of entries that hold `step_size` bytes, from the sizes stored in the tree.

    uproot would read the header of every basket instead, each a round trip for a remote file.
    """
    if is_rntuple(tree):
        return int(tree.num_entries_for(f"{step_size} B", **_selected(tree, paths)))
    total = sum(int(tree[branch].uncompressed_bytes) for branch in _first_fields(paths))
    return max(1, int(tree.num_entries * step_size / max(total, 1)))


def _wait(tried: int, error: NetworkError) -> None:
    """Wait before the next try; raises NetworkError after the last one."""
    if tried + 1 >= _TRIES:
        raise NetworkError(f"{error} (tried {_TRIES} times)") from error
    seconds = 4**tried
    _log.warning("%s; try %d of %d in %d s", error, tried + 2, _TRIES, seconds)
    time.sleep(seconds)


def is_rntuple(tree: Any) -> bool:
    """Whether a tree from `open_tree` is an RNTuple."""
    return bool(tree.classname == RNTUPLE)


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Convert uproot's exceptions to a NetworkError or, for damaged bytes, to a FileError that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes raise many types, such as struct.error and zlib's own
        text = str(error).strip().splitlines()
        reason = text[0] if text else type(error).__name__
        if is_remote(path):
            if _is_network_error(error):
                raise NetworkError(f"{path}: the network failed: {type(error).__name__}: {reason}") from error
            if isinstance(error, ModuleNotFoundError):
                raise FileError(f"{path}: {reason}") from error
            raise FileError(f"{path}: cannot be read: {type(error).__name__}: {reason}") from error
        size = Path(path).stat().st_size
        raise FileError(
            f"{path}: cannot be read as a ROOT file; it may be truncated or damaged ({size} bytes; {type(error).__name__}: "
            f"{reason}). Copy it again, or remove it from the sample."
        ) from error


def _is_network_error(error: BaseException) -> bool:
    """Whether another try may help. False for an answer of the server, such as "no such file"."""
    if isinstance(error, FileNotFoundError | PermissionError):
        return False
    chain = [error, *(cause for cause in (error.__cause__, error.__context__) if cause)]
    return any(isinstance(e, ConnectionError | TimeoutError) or bool(_NETWORK.search(str(e))) for e in chain)


def branch_names(tree: Any) -> list[str]:
    """The names by which branches can be read.

    Of a TTree: ROOT's, `Jet.PT`, if only one branch has it; uproot's, `Jet/Jet.PT`; `vertex.fit.chi2` for the members of structs,
    and for the leaves of a branch that has several. Of an RNTuple: `v`, and `v.pt` for the members of structs.
    """
    return list(_known_paths(tree))


def depths(tree: Any, path: str, branches: Collection[str]) -> dict[str, int]:
    """The nesting depth of each branch per entry: one number (0), a list of numbers (1), or a list of lists (2).

    An array of a fixed size is a list. Raises FileError for a missing branch (with the nearest names), and for a branch of
    anything else.
    """
    require_branches(branches, branch_names(tree), f"{path}: tree '{tree.name}'")
    return {branch: _depth(tree, path, branch, fields) for branch, fields in _paths(tree, branches).items()}


def readable_branch(tree: Any, path: str) -> str:
    """The first branch of numbers, whatever it is; raises FileError if there is none."""
    for branch in branch_names(tree):
        try:
            depths(tree, path, [branch])
        except FileError:
            continue
        return branch
    raise FileError(f"{path}: tree '{tree.name}' has no branch of numbers")


def _depth(tree: Any, path: str, branch: str, fields: Sequence[str]) -> int:
    """`fields`: from _paths."""
    where = f"{path}: branch '{branch}' of tree '{tree.name}'"
    try:
        form, depth = _inner_form(_form(tree, fields), fields[1:])
    except (uproot.interpretation.objects.CannotBeAwkward, uproot.interpretation.identify.UnknownInterpretation):
        form, depth = None, 0
    except Exception as error:  # many types, for classes whose description uproot does not expect
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise FileError(f"{where} cannot be read by uproot: {reason}") from error
    if isinstance(form, ak.forms.RecordForm) and (members := _members(tree, branch)):
        raise FileError(f"{where} is a struct; name one of its members: {', '.join(members[:8])}{', ...' * (len(members) > 8)}")
    if not isinstance(form, ak.forms.NumpyForm) or np.dtype(form.primitive).kind not in "biuf" or depth > 2:
        typename = tree[branch if is_rntuple(tree) else fields[0]].typename
        raise FileError(
            f"{where} is of type {typename}; only a number, a list of numbers, or a list of such lists per entry can be read"
        )
    return depth


def _members(tree: Any, branch: str) -> list[str]:
    """The names of a struct's members."""
    names = branch_names(tree)
    with_dot = [name for name in names if name.startswith(f"{branch}.")]
    return with_dot or [name for name in names if name.startswith(f"{branch}/")]


def _form(tree: Any, fields: Sequence[str]) -> ak.forms.Form:
    """The form of the array that uproot reads for the first of `fields`."""
    if is_rntuple(tree):
        name = ".".join(fields)
        form, _ = tree.to_akform(**_selected(tree, {name: tuple(fields)})) if "." in name else tree[name].to_akform()
        return form.content(fields[0])
    interpretation = tree[fields[0]].interpretation
    if isinstance(interpretation, uproot.AsDtype):  # whose own form of a leaf list cannot have arrays
        return ak.from_numpy(np.empty(0, interpretation.to_dtype), regulararray=True).layout.form
    return interpretation.awkward_form(tree.file)


def _inner_form(form: ak.forms.Form, fields: Sequence[str]) -> tuple[ak.forms.Form, int]:
    """The form inside all lists, and the number of these; in a struct, that of the first of `fields`, and so on."""
    depth = 0
    while True:
        if isinstance(form, ak.forms.RecordForm) and fields:
            form, fields = form.content(fields[0]), fields[1:]
        elif isinstance(form, ak.forms.ListOffsetForm | ak.forms.RegularForm) and form.parameter("__array__") is None:
            form, depth = form.content, depth + 1
        else:
            return form, depth
