"""An ntuple joined with its friend trees, entry by entry or by a key such as run, lumi and event.

If the ntuple and a friend have a branch of the same name, the ntuple's is used, as in ROOT.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from cyclotrain.contract.splits import ENTRY, event_hash, identifying_branches
from cyclotrain.core.errors import FileError
from cyclotrain.expressions.awkward_backend import element
from cyclotrain.ingest.columns import identifying
from cyclotrain.ingest.ntuples import (
    branch_names,
    depths,
    identity,
    open_tree,
    read_batches,
    read_columns,
    readable_branch,
    reading,
)
from cyclotrain.ingest.recipe import require_branches, require_event_id

_SAMPLED = 65536  # bytes at each end of a file without a UUID


@dataclass(frozen=True)
class Friend:
    """A friend tree of one file. `by`: the branches that identify an entry in both trees; none if both have the same order."""

    path: str
    tree: str | Sequence[str]
    by: Sequence[str] = ()


def friends_of_file(paths: Sequence[str], descriptions: Sequence[Mapping[str, Any]]) -> list[Friend]:
    """The friends of one file; `descriptions`: the tree and key of each, as in a recipe."""
    return [Friend(path, **description) for path, description in zip(paths, descriptions, strict=True)]


@contextmanager
def open_joined(path: str, tree: str | Sequence[str], friends: Sequence[Friend]) -> Iterator["Joined"]:
    """Open a tree with its friends; raises FileError for unreadable files, and for friends that do not match the tree."""
    with ExitStack() as stack:
        main = stack.enter_context(open_tree(path, tree))
        opened = [stack.enter_context(open_tree(friend.path, friend.tree)) for friend in friends]
        yield Joined(main, path, [_OpenFriend(*pair, main=main, main_path=path) for pair in zip(friends, opened, strict=True)])


@dataclass(frozen=True)
class Entries:
    """Some `n` entries of a tree: the columns of branches, a text for their place, and the numbers [n] that identify each."""

    columns: dict[str, Any]
    n: int
    where: str
    identity: list[npt.NDArray[Any]]


class Joined:
    """A tree and its friends; `tree` is uproot's tree."""

    def __init__(self, tree: Any, path: str, friends: Sequence["_OpenFriend"]) -> None:
        self.tree, self.path, self._friends = tree, path, friends

    def depths(self, branches: Collection[str]) -> dict[str, int]:
        """ntuples.depths for branches of the tree and its friends, and for elements `x[0]` of them.

        Raises FileError for a branch that none of them has, and for an element of anything but a list of numbers.
        """
        elements = self._elements(branches)
        whole = _whole(branches, elements)
        require_branches(whole, self._branch_names(), self._where())
        main_branches, friend_branches = self._owners(whole)
        by_branch = depths(self.tree, self.path, main_branches)
        for friend, names in zip(self._friends, friend_branches, strict=True):
            by_branch |= depths(friend.tree, friend.path, names)
        for name, (branch, _) in elements.items():
            if by_branch[branch] != 1:
                kind = "one number" if by_branch[branch] == 0 else "a list of lists"
                raise FileError(f"{self.path}: '{name}': branch '{branch}' has {kind} per entry, and only a list has an index")
            by_branch[name] = 0
        return {branch: by_branch[branch] for branch in branches}

    def require_event_id(self, event_id: Sequence[str]) -> None:
        """recipe.require_event_id for the tree and its friends."""
        require_event_id(event_id, self._branch_names(), self._where())

    def identities(self) -> list[dict[str, Any]]:
        """ntuples.identity of each friend."""
        return [identity(friend.tree, friend.path) for friend in self._friends]

    def batches(self, branches: Sequence[str], step_size: int, *, event_id: Sequence[str] = ()) -> Iterator[Entries]:
        """ntuples.read_batches for the tree and its friends; `event_id`: the branches that identify an entry, or `entry`.

        An element `x[0]` is NaN where the list is shorter. Memory holds one batch of a friend joined by entry, but all entries of
        a friend joined by key, for the branches read.
        """
        branches = list(dict.fromkeys([*branches, *identifying_branches(event_id)]))
        elements = self._elements(branches)
        main_branches, friend_branches = self._owners(_whole(branches, elements))
        keys = [name for friend in self._friends for name in friend.by]
        read = list(dict.fromkeys([*main_branches, *keys])) or [readable_branch(self.tree, self.path)]
        file_id = _file_id(self.tree, self.path) if event_id == ENTRY else ()
        first = 0
        for columns, n, where in read_batches(self.tree, self.path, read, step_size):
            for friend, names in zip(self._friends, friend_branches, strict=True):
                if names:
                    columns |= friend.columns(names, columns, entries=range(first, first + n), where=where)
            columns |= {name: element(columns[branch], float(index)) for name, (branch, index) in elements.items()}
            if event_id == ENTRY:
                identity_columns = [*(np.full(n, number, np.uint64) for number in file_id), np.arange(first, first + n)]
            else:
                identity_columns = identifying(event_id, columns, where)
            yield Entries({name: columns[name] for name in branches}, n, where, identity_columns)
            first += n

    def _branch_names(self) -> list[str]:
        trees = [self.tree, *(friend.tree for friend in self._friends)]
        return list(itertools.chain(*map(branch_names, trees)))

    def _where(self) -> str:
        return f"{self.path}: tree '{self.tree.name}'{' with its friends' * bool(self._friends)}"

    def _elements(self, names: Collection[str]) -> dict[str, tuple[str, int]]:
        """The branch and the index of each name such as `x[0]` that is no branch itself."""
        known = set(self._branch_names())
        matches = {name: re.fullmatch(r"(.+)\[(\d+)\]", name) for name in names if name not in known}
        return {name: (match[1], int(match[2])) for name, match in matches.items() if match}

    def _owners(self, branches: Collection[str]) -> tuple[list[str], list[list[str]]]:
        """The branches to read from the tree, and from each friend."""
        main = set(branch_names(self.tree))
        left = [branch for branch in branches if branch not in main]
        friend_branches = []
        for friend in self._friends:
            known = set(branch_names(friend.tree))
            friend_branches.append([branch for branch in left if branch in known])
            left = [branch for branch in left if branch not in known]
        return [branch for branch in branches if branch in main], friend_branches


def _whole(names: Collection[str], elements: Mapping[str, tuple[str, int]]) -> list[str]:
    """The branches to read for names of branches and elements."""
    return list(dict.fromkeys(elements[name][0] if name in elements else name for name in names))


def _file_id(tree: Any, path: str) -> tuple[int, int]:
    """The file's UUID, which copies keep, as two numbers.

    ROOT's RNTupleWriter::Recreate writes only zeros as UUID. The XXH3 of both ends of the file takes its place: the last bytes
    have the sizes of all compressed pages.
    """
    file = tree.file
    number = int(file.uuid)
    if number == 0:
        size = int(file.source.num_bytes)
        hashed = xxhash.xxh3_128()
        with reading(path):
            for start in (0, max(0, size - _SAMPLED)):
                hashed.update(file.source.chunk(start, min(start + _SAMPLED, size)).raw_data)
        number = hashed.intdigest()
    return number >> 64, number & (2**64 - 1)


class _OpenFriend:
    """A friend, open beside the main tree."""

    def __init__(self, friend: Friend, tree: Any, *, main: Any, main_path: str) -> None:
        self.path, self.tree, self.by = friend.path, tree, list(friend.by)
        if self.by:
            for path, joined in ((main_path, main), (friend.path, tree)):
                require_branches(self.by, branch_names(joined), f"{path}: friends are joined by key, and tree '{joined.name}'")
        elif tree.num_entries != main.num_entries:
            raise FileError(
                f"{friend.path}: the friend has {tree.num_entries} entries, and {main_path} has {main.num_entries}; name in "
                "'by' the branches that identify an entry in both"
            )
        self._whole: Any = None

    def columns(self, names: Sequence[str], main_columns: Mapping[str, Any], *, entries: range, where: str) -> dict[str, Any]:
        """The friend's branches for a batch of the main tree's entries."""
        if not self.by:
            with reading(self.path):
                return read_columns(self.tree, names, entries)
        hashes, order, columns = self._read(names)
        wanted = event_hash(identifying(self.by, main_columns, where), 0)
        position = np.minimum(np.searchsorted(hashes, wanted), max(len(hashes) - 1, 0))
        missing = hashes[position] != wanted if len(hashes) else np.ones(len(wanted), np.bool_)
        if missing.any():
            raise FileError(f"{self.path}: no entry has the {', '.join(self.by)} of {int(missing.sum())} entries in {where}")
        return {name: columns[name][order[position]] for name in names}

    def _read(self, names: Sequence[str]) -> Any:
        """The sorted hashes of the keys, the entry of each, and all columns."""
        if self._whole is None:
            with reading(self.path):
                columns = read_columns(self.tree, list(dict.fromkeys([*self.by, *names])))
            hashes = event_hash(identifying(self.by, columns, self.path), 0)
            order = np.argsort(hashes, kind="stable")
            twice = int(np.count_nonzero(np.diff(hashes[order]) == 0))
            if twice:
                raise FileError(
                    f"{self.path}: {twice} entries repeat the {', '.join(self.by)} of another entry; name more branches in 'by'"
                )
            self._whole = hashes[order], order, columns
        return self._whole
