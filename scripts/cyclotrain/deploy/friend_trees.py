"""Friend trees: the model's probabilities for every entry of an ntuple, or for every object of every entry."""

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

from cyclotrain.contract import Contract, Layout, Set, belongs_to
from cyclotrain.contract.metadata import OUTPUT, model_metadata
from cyclotrain.contract.splits import event_hash, fold_index
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic, file_sha256, file_xxh3
from cyclotrain.expressions import Expression
from cyclotrain.ingest.columns import constituents, define, identifying, selected
from cyclotrain.ingest.joined import Friend, Joined, open_joined
from cyclotrain.ingest.ntuples import identity, is_rntuple
from cyclotrain.ingest.objects import examples
from cyclotrain.ingest.recipe import check_numbers, example_depths
from cyclotrain.ingest.sources import is_remote
from cyclotrain.runtimes.sessions import open_session

NOT_SELECTED = -1.0  # in place of each probability, for entries that fail the selection
DESCRIPTION = "cyclotrain"  # the key in the file under which the JSON stands that tells what made it
_STEP = 50_000_000  # bytes of uncompressed branches
_BATCH = 1024  # examples in one call of ONNX Runtime
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ntuple:
    """A file to score: its tree, the cuts that its entries must pass, and the definitions that the cuts use."""

    path: str
    tree: str | Sequence[str]
    selection: Sequence[str]
    define: Mapping[str, str]
    friends: Sequence[Friend] = ()

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


@dataclass(frozen=True)
class _Model:
    """A model that was verified, ready to run."""

    contract: Contract
    made: ort.InferenceSession


def score(ntuple: Ntuple, models: Mapping[str, str], friend: str | Path, threads: int) -> None:
    """Write the friend of one ntuple, a TTree or an RNTuple as the ntuple is: an entry for each of its entries.

    It has a float32 branch `<run>_<class>` a class; where the model is of objects, a list with a number for each object of
    the entry. Entries or objects that fail the selection have NOT_SELECTED. The tree has the ntuple's tree's name, and the
    file a JSON string under `cyclotrain`: the ntuple's checksum, the model's, the sentinel, the selection and the contract.
    The ntuple is read in batches, so in bounded memory, and never written to. `models`: SHA-256 of the file that was verified,
    by its path; several are those of a cross-training, of which each event gets the one that has not seen it.
    Raises InputError for an ntuple that does not fit the model, for another model file, and for a friend that exists.
    """
    loaded = [_Model(read_model(path, sha256), open_session(path, threads)) for path, sha256 in models.items()]
    loaded.sort(key=lambda of: of.contract.fold.index if of.contract.fold else 0)
    contract = loaded[0].contract
    if len(loaded) != (contract.fold.of if contract.fold else 1):
        raise InputError(f"a cross-training has {contract.fold.of if contract.fold else 1} models, and {len(loaded)} are given")
    if Path(friend).exists():
        raise InputError(f"{friend}: there is such a file already; move it away, it is not written over")
    branches = branch_names(contract)
    start = time.perf_counter()
    opened = open_joined(ntuple.path, ntuple.tree, ntuple.friends)
    with opened as joined, atomic(friend) as temporary, uproot.recreate(temporary) as file:
        tree = joined.tree
        check_ntuple(contract.layout, ntuple, joined.depths(needed(contract, ntuple)))
        n, kept = tree.num_entries, 0
        make = file.mkrntuple if is_rntuple(tree) else file.mktree
        type_ = ak.types.ListType(ak.types.NumpyType("float32")) if contract.layout.object else np.dtype(np.float32)
        output = make(tree.name, dict.fromkeys(branches, type_))
        for scored in _scored(loaded, ntuple, joined):
            columns: list[Any] = list(scored.probabilities.T)
            if scored.counts is not None:
                columns = [ak.unflatten(np.ascontiguousarray(column), scored.counts) for column in columns]
            output.extend(dict(zip(branches, columns, strict=True)))
            kept += int(scored.is_selected.sum())
        file[DESCRIPTION] = json.dumps(
            {
                "ntuple": {
                    **identity(tree, ntuple.path),
                    "xxh3": None if is_remote(ntuple.path) else file_xxh3(ntuple.path),
                    "tree": tree.name,
                    "entries": n,
                },
                "selection": list(ntuple.selection),
                "selected": kept,
                "not_selected": NOT_SELECTED,
                "model_sha256": list(models.values()) if contract.fold else next(iter(models.values())),
                "runtime": f"onnxruntime {ort.__version__}",
                "contract": contract.to_dict(),
            }
        )
    seconds = time.perf_counter() - start
    _log.info("%s: %d entries, %d selected and scored in %.1f s (%.0f entries/s)", ntuple.path, n, kept, seconds, n / seconds)


def branch_names(contract: Contract) -> list[str]:
    """The friend's branches, in the order of the classes."""
    run = contract.run.removesuffix(f"-fold{contract.fold.index}") if contract.fold else contract.run
    return [f"{run}_{name}".replace("-", "_") for name in contract.classes]


def needed(contract: Contract, ntuple: Ntuple) -> list[str]:
    """All branches that are read; those of the event's identity where it decides on the model."""
    identity = contract.event_id if contract.fold else ()
    return list(dict.fromkeys([*contract.layout.branches, *identity, *ntuple.cut_branches()]))


def check_ntuple(layout: Layout, ntuple: Ntuple, found: Mapping[str, int]) -> None:
    """Raise InputError where a branch holds another kind of list an entry than the model takes; `found`: of ntuples.depths."""
    kinds = ("one number", "a list of numbers", "a list of lists")
    for branch, name in layout.inputs.items():
        link = name is not None and layout.sets[name].link is not None
        in_object = layout.object is not None and (name is not None or belongs_to(branch, layout.object)) and not link
        expected = (name is not None) + in_object
        if found[branch] != expected:
            raise InputError(
                f"{ntuple.path}: branch '{branch}' has {kinds[found[branch]]} an entry, and the model takes {kinds[expected]}"
            )
    cuts = {f"selection {i + 1}": Expression(cut) for i, cut in enumerate(ntuple.selection)}
    of_example = example_depths(layout.object, found, ntuple.path)
    check_numbers(cuts, ntuple.define if cuts else {}, of_example, ntuple.path, layout.object or "entry")


@dataclass(frozen=True)
class _Scored:
    """A batch: probabilities [n, n_classes], which are selected [n], and for objects their number in each entry."""

    probabilities: npt.NDArray[np.float32]
    is_selected: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.int64] | None


def _scored(models: Sequence[_Model], ntuple: Ntuple, joined: Joined) -> Iterator[_Scored]:
    contract = models[0].contract
    layout, n_classes = contract.layout, len(contract.classes)
    branches = needed(contract, ntuple)
    for values, n, where in joined.batches(branches, _STEP):
        counts = None
        if layout.object:
            values, counts = examples(values, layout, where)
            n = int(counts.sum())
        if ntuple.selection:
            define(values, ntuple.define, where)
        keep = selected(ntuple.selection, values, n, where)
        probabilities = np.full((n, n_classes), NOT_SELECTED, np.float32)
        of_model = np.zeros(n, np.int64)
        if contract.fold:
            hashes = event_hash(identifying(contract.event_id, values, where), contract.seed)
            of_model = fold_index(hashes, contract.fold.of)
        for index, model in enumerate(models):
            rows = keep & (of_model == index)
            probabilities[rows] = _probabilities(layout, values, rows, model.made, n_classes, where)
        yield _Scored(probabilities, keep, counts)


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
    sets = {name: _Constituents(features, values, where) for name, features in layout.sets.items() if features.is_jagged}
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

    def __init__(self, features: Set, values: Mapping[str, Any], where: str) -> None:
        columns, counts = constituents(features.branches, values, where)
        self._columns = dict(zip(features.branches, columns, strict=True))
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # the graph takes no more than max_length; of all, where it is the one that sorts them
        self._kept = counts if features.sort_by else np.minimum(counts, features.max_length or 0)

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
