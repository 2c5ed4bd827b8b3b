"""An ntuple and its friend trees as one: branches by name, joined entry by entry or by a key such as run, lumi and event.

A branch that the ntuple has itself is taken from there, as in ROOT.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from cyclotrain.contract.splits import event_hash
from cyclotrain.core.errors import FileError
from cyclotrain.ingest.columns import identifying
from cyclotrain.ingest.ntuples import branch_names, columns_of, depths, identity, open_tree, read_batches, reading
from cyclotrain.ingest.recipe import require_branches


@dataclass(frozen=True)
class Friend:
    """A friend tree of one file; `by`: the branches that tell an entry in both, none where they stand in the same order."""

    path: str
    tree: str | Sequence[str]
    by: Sequence[str] = ()


def friends_of_file(paths: Sequence[str], described: Sequence[Mapping[str, Any]]) -> list[Friend]:
    """The friends of one file, whose trees and keys a recipe describes."""
    return [Friend(path, **of) for path, of in zip(paths, described, strict=True)]


@contextmanager
def open_joined(path: str, tree: str | Sequence[str], friends: Sequence[Friend]) -> Iterator["Joined"]:
    """The tree with its friends; raises FileError for what cannot be read, and for friends that do not fit."""
    with ExitStack() as stack:
        main = stack.enter_context(open_tree(path, tree))
        yield Joined(
            main, path, [_OpenFriend(of, stack.enter_context(open_tree(of.path, of.tree)), main, path) for of in friends]
        )


class Joined:
    """A tree and its friends; `tree` is the tree itself, of uproot."""

    def __init__(self, tree: Any, path: str, friends: Sequence["_OpenFriend"]) -> None:
        self.tree, self.path, self._friends = tree, path, friends

    def depths(self, branches: Collection[str]) -> dict[str, int]:
        """Of ntuples.depths, for branches of all; raises FileError for one that none has."""
        trees = [self.tree, *(friend.tree for friend in self._friends)]
        known = list(itertools.chain(*map(branch_names, trees)))
        require_branches(branches, known, f"{self.path}: tree '{self.tree.name}'{' with its friends' * bool(self._friends)}")
        of_main, of_friends = self._owners(branches)
        found = depths(self.tree, self.path, of_main)
        for friend, names in zip(self._friends, of_friends, strict=True):
            found |= depths(friend.tree, friend.path, names)
        return {branch: found[branch] for branch in branches}

    def identities(self) -> list[dict[str, Any]]:
        """Of ntuples.identity, of each friend."""
        return [identity(friend.tree, friend.path) for friend in self._friends]

    def batches(self, branches: Sequence[str], step_size: int) -> Iterator[tuple[dict[str, Any], int, str]]:
        """As ntuples.read_batches, of all trees.

        Of a friend joined by entry, a batch is in memory at a time; of one joined by key, all of its branches that are read.
        """
        of_main, of_friends = self._owners(branches)
        keys = [name for friend in self._friends for name in friend.by]
        read = list(dict.fromkeys([*of_main, *keys])) or [self.tree.keys()[0]]
        first = 0
        for found, n, where in read_batches(self.tree, self.path, read, step_size):
            for friend, names in zip(self._friends, of_friends, strict=True):
                if names:
                    found |= friend.columns(names, found, first, first + n, where)
            yield {name: found[name] for name in branches}, n, where
            first += n

    def _owners(self, branches: Collection[str]) -> tuple[list[str], list[list[str]]]:
        """Which branches are of the tree, and which of each friend."""
        main = set(branch_names(self.tree))
        left = [branch for branch in branches if branch not in main]
        of_friends = []
        for friend in self._friends:
            known = set(branch_names(friend.tree))
            of_friends.append([branch for branch in left if branch in known])
            left = [branch for branch in left if branch not in known]
        return [branch for branch in branches if branch in main], of_friends


class _OpenFriend:
    """A friend, open beside its tree."""

    def __init__(self, friend: Friend, tree: Any, main: Any, path: str) -> None:
        self.path, self.tree, self.by, self._main = friend.path, tree, list(friend.by), path
        if self.by:
            for name, of in ((path, main), (friend.path, tree)):
                require_branches(self.by, branch_names(of), f"{name}: tree '{of.name}', by which friends are joined,")
        elif tree.num_entries != main.num_entries:
            raise FileError(
                f"{friend.path}: the friend has {tree.num_entries} entries, and {path} has {main.num_entries}; name in 'by' the "
                "branches that tell an entry in both"
            )
        self._whole: Any = None

    def columns(self, names: Sequence[str], found: Mapping[str, Any], first: int, last: int, where: str) -> dict[str, Any]:
        """The friend's branches for a batch of the tree's entries."""
        if not self.by:
            with reading(self.path):
                return columns_of(self.tree.arrays(list(names), entry_start=first, entry_stop=last), names)
        hashes, order, columns = self._read(names)
        wanted = event_hash(identifying(self.by, found, where), 0)
        position = np.minimum(np.searchsorted(hashes, wanted), max(len(hashes) - 1, 0))
        missing = hashes[position] != wanted if len(hashes) else np.ones(len(wanted), np.bool_)
        if missing.any():
            raise FileError(f"{self.path}: no entry with the {', '.join(self.by)} of {int(missing.sum())} entries; {where}")
        return {name: columns[name][order[position]] for name in names}

    def _read(self, names: Sequence[str]) -> Any:
        """Hashes of the keys, sorted, the entry of each, and all columns."""
        if self._whole is None:
            with reading(self.path):
                read = list(dict.fromkeys([*self.by, *names]))
                columns = columns_of(self.tree.arrays(read), read)
            hashes = event_hash(identifying(self.by, columns, self.path), 0)
            order = np.argsort(hashes, kind="stable")
            twice = int(np.count_nonzero(np.diff(hashes[order]) == 0))
            if twice:
                raise FileError(f"{self.path}: {twice} entries have the {', '.join(self.by)} of another, so these are no key")
            self._whole = hashes[order], order, columns
        return self._whole
