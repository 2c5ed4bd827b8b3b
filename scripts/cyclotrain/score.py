"""Friend trees: the model's probabilities for every entry of an ntuple."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import uproot

from cyclotrain.columns import constituents, define, selected
from cyclotrain.contract import Contract, Layout
from cyclotrain.errors import InputError
from cyclotrain.export import OUTPUT, model_metadata
from cyclotrain.expressions import Expression
from cyclotrain.ntuples import jaggedness, open_tree, read_batches
from cyclotrain.provenance import atomic, file_sha256
from cyclotrain.runtime import session

NOT_SELECTED = -1.0  # in place of each probability, for entries that fail the selection
DESCRIPTION = "cyclotrain"  # the key in the file under which the JSON stands that tells what made it
_STEP = "50 MB"  # of uncompressed branches
_BATCH = 1024  # examples in one call of ONNX Runtime
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ntuple:
    """A file to score: its tree, the cuts that its entries must pass, and the definitions that the cuts use."""

    path: str
    tree: str
    selection: Sequence[str]
    define: Mapping[str, str]

    def cut_branches(self) -> list[str]:
        """The branches that the cuts need."""
        texts = [*self.selection, *(self.define.values() if self.selection else ())]
        names = dict.fromkeys(branch for text in texts for branch in Expression(text).branches)
        return [name for name in names if name not in self.define]


def read_model(exported: str | Path, sha256: str) -> Contract:
    """The contract inside a model file; raises InputError for a file that is not Cyclotrain's, or not the one verified."""
    try:
        metadata = model_metadata(onnx.load(exported))
    except Exception as error:  # protobuf's own types, for what is no ONNX file
        raise InputError(f"{exported}: not an ONNX file ({type(error).__name__})") from error
    if "contract" not in metadata:
        raise InputError(f"{exported}: not a model made by Cyclotrain; there is no contract in its metadata")
    if (found := file_sha256(exported)) != sha256:
        raise InputError(
            f"{exported}: changed since it was verified: SHA-256 {found[:12]}..., and verified was {sha256[:12]}...; "
            "export and verify it again"
        )
    return Contract.from_dict(metadata["contract"])


def score(ntuple: Ntuple, exported: str | Path, sha256: str, friend: str | Path, threads: int) -> None:
    """Write the friend tree of one ntuple: an entry for each of its entries, a float32 branch `<run>_<class>` a class.

    Entries that fail the selection have NOT_SELECTED. The tree has the ntuple's tree's name, and the file a JSON string
    under `cyclotrain`: the ntuple's checksum, the model's, the sentinel, the selection and the contract. The ntuple is read
    in batches, so in bounded memory, and never written to. `sha256`: of the model file that was verified.
    Raises InputError for an ntuple that does not fit the model, for another model file, and for a friend that exists.
    """
    contract = read_model(exported, sha256)
    if Path(friend).exists():
        raise InputError(f"{friend}: there is such a file already; move it away, it is not written over")
    made = session(exported, threads)
    branches = branch_names(contract)
    start = time.perf_counter()
    with open_tree(ntuple.path, ntuple.tree) as tree, atomic(friend) as temporary, uproot.recreate(temporary) as file:
        check_ntuple(contract.layout, ntuple, jaggedness(tree, ntuple.path, needed(contract.layout, ntuple)))
        n, kept = tree.num_entries, 0
        output = file.mktree(ntuple.tree, dict.fromkeys(branches, np.dtype(np.float32)))
        for probabilities, keep in _scored(contract.layout, ntuple, tree, made, len(branches)):
            output.extend(dict(zip(branches, probabilities.T, strict=True)))
            kept += int(keep.sum())
        file[DESCRIPTION] = json.dumps(
            {
                "ntuple": {"path": ntuple.path, "sha256": file_sha256(ntuple.path), "tree": ntuple.tree, "entries": n},
                "selection": list(ntuple.selection),
                "selected": kept,
                "not_selected": NOT_SELECTED,
                "model_sha256": sha256,
                "runtime": f"onnxruntime {ort.__version__}",
                "contract": contract.to_dict(),
            }
        )
        if output.num_entries != n:
            raise InputError(f"{ntuple.path}: read {output.num_entries} of {n} entries; the file may have changed meanwhile")
    seconds = time.perf_counter() - start
    _log.info("%s: %d of %d entries selected and scored in %.1f s (%.0f entries/s)", ntuple.path, kept, n, seconds, n / seconds)


def branch_names(contract: Contract) -> list[str]:
    """The friend's branches, in the order of the classes."""
    return [f"{contract.run}_{name}".replace("-", "_") for name in contract.classes]


def needed(layout: Layout, ntuple: Ntuple) -> list[str]:
    """All branches that are read."""
    return list(dict.fromkeys([*layout.inputs, *ntuple.cut_branches()]))


def check_ntuple(layout: Layout, ntuple: Ntuple, is_jagged: Mapping[str, bool]) -> None:
    """Raise InputError where a branch of the model is jagged in the ntuple and not in the model, or the other way round."""
    for branch, name in layout.inputs.items():
        if is_jagged[branch] != (name is not None):
            here, there = ("a list of numbers", "one number") if is_jagged[branch] else ("one number", "a list of numbers")
            raise InputError(f"{ntuple.path}: branch '{branch}' has {here} an entry, and the model takes {there}")
    for branch in ntuple.cut_branches():
        if is_jagged[branch]:
            raise InputError(f"{ntuple.path}: the selection uses '{branch}', which is jagged; one number an entry is needed")


def _scored(
    layout: Layout, ntuple: Ntuple, tree: Any, made: ort.InferenceSession, n_classes: int
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """Probabilities [n, n_classes] and which entries are selected, batch by batch."""
    for columns, where in read_batches(tree, ntuple.path, needed(layout, ntuple), _STEP):
        values = {name: columns[name] for name in columns.fields}
        if ntuple.selection:
            define(values, ntuple.define, where)
        keep = selected(ntuple.selection, values, len(columns), where)
        probabilities = np.full((len(columns), n_classes), NOT_SELECTED, np.float32)
        probabilities[keep] = _probabilities(layout, values, keep, made, n_classes, where)
        yield probabilities, keep


def _probabilities(
    layout: Layout,
    values: Mapping[str, Any],
    keep: npt.NDArray[np.bool_],
    made: ort.InferenceSession,
    n_classes: int,
    where: str,
) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, as in training
        scalars = {b: ak.to_numpy(values[b])[keep].astype(np.float32)[:, None] for b in layout.scalars}
    sets = {name: _Constituents(s.branches, s.max_length, values, where) for name, s in layout.sets.items() if s.max_length}
    entries = np.flatnonzero(keep)
    answers = np.empty((len(entries), n_classes), np.float32)
    for first in range(0, len(entries), _BATCH):
        rows = entries[first : first + _BATCH]
        inputs = {branch: column[first : first + _BATCH] for branch, column in scalars.items()}
        for of_set in sets.values():
            inputs |= of_set.padded(rows)
        answers[first : first + _BATCH] = made.run([OUTPUT], inputs)[0]
    return answers


class _Constituents:
    """The branches of one set, ready to be padded."""

    def __init__(self, branches: Sequence[str], max_length: int, values: Mapping[str, Any], where: str) -> None:
        columns, counts = constituents(branches, values, where)
        self._columns = dict(zip(branches, columns, strict=True))
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._kept = np.minimum(counts, max_length)  # the graph takes no more

    def padded(self, rows: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.float32]]:
        """Of each branch [n_rows, L], zeros behind the constituents; L is the longest here, and at least 1."""
        starts, kept = self._starts[rows], self._kept[rows]
        slots = np.arange(max(1, int(kept.max(initial=0))))
        inside = slots < kept[:, None]
        source = (starts[:, None] + slots)[inside]
        arrays = {}
        for branch, column in self._columns.items():
            arrays[branch] = np.zeros(inside.shape, np.float32)
            arrays[branch][inside] = column[source]
        return arrays
