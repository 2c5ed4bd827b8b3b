"""Friend trees: the model's outputs for every entry of an ntuple, or for every object of every entry."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import uproot

from cyclotrain.contract import Contract, Layout, Set, belongs_to
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.splits import event_hash, fold_index, identifying_branches
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic, file_sha256, file_xxh3
from cyclotrain.expressions import Expression
from cyclotrain.ingest.columns import constituents, define, selected
from cyclotrain.ingest.joined import Friend, Joined, open_joined
from cyclotrain.ingest.ntuples import identity, is_rntuple
from cyclotrain.ingest.objects import examples
from cyclotrain.ingest.recipe import check_numbers, example_depths
from cyclotrain.ingest.sources import is_remote
from cyclotrain.runtimes.sessions import open_session
from cyclotrain.runtimes.worker import side_by_side

# for entries or objects that fail the selection: instead of the probabilities; a regressed quantity is NaN
NOT_SELECTED = -1.0
DESCRIPTION = "cyclotrain"  # key of the JSON in the friend's file that says how it was made
_STEP = 50_000_000  # bytes of uncompressed branches
_BATCH = 1024  # examples in one call of ONNX Runtime
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ntuple:
    """A file to score: its tree, the cuts on its entries or objects, and the definitions that the cuts use."""

    path: str
    tree: str | Sequence[str]
    selection: Sequence[str] = field(default=(), kw_only=True)
    define: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    friends: Sequence[Friend] = field(default=(), kw_only=True)

    def cut_branches(self) -> list[str]:
        """The branches that the cuts need."""
        texts = [*self.selection, *(self.define.values() if self.selection else ())]
        names = dict.fromkeys(branch for text in texts for branch in Expression(text).branches)
        return [name for name in names if name not in self.define]


def read_model(exported: str | Path, sha256: str) -> Contract:
    """The contract inside a model file; `sha256` is that of the verified file.

    Raises InputError if the file is not a model of Cyclotrain, or not the verified one.
    """
    try:
        metadata = model_metadata(onnx.load(exported))
    except Exception as error:  # protobuf raises its own types if the file is not ONNX
        raise InputError(f"{exported}: not an ONNX file ({type(error).__name__})") from error
    if "contract" not in metadata:
        raise InputError(f"{exported}: not a model made by Cyclotrain; its metadata has no contract")
    if (actual := file_sha256(exported)) != sha256:
        raise InputError(
            f"{exported}: changed since it was verified (SHA-256 is {actual[:12]}..., verified was {sha256[:12]}...); "
            "export and verify it again"
        )
    return Contract.from_dict(metadata["contract"])


@dataclass(frozen=True)
class _Model:
    """A verified model, ready to run."""

    contract: Contract
    session: ort.InferenceSession


def score(ntuple: Ntuple, models: Mapping[str, str], *, friend: str | Path, threads: int) -> None:
    """Write the friend tree of one ntuple: a TTree or an RNTuple like the ntuple, with one entry per entry of the ntuple.

    It has one float32 branch `<run>_<class>` per class, and one per regressed quantity, `<run>_<quantity>`, or per quantile,
    `<run>_<quantity>_q16`. If objects are the examples, a branch is a list with one number per object of the entry. Entries or
    objects that fail the selection have NOT_SELECTED, or NaN as a regressed quantity. The tree has the name of the ntuple's tree.
    The file has a JSON string under `cyclotrain`: checksums of ntuple and model, NOT_SELECTED, selection, contract. The ntuple is
    read in batches, so memory is bounded, and is never written to.

    `models`: the SHA-256 of each verified file, by its path. Several models come from cross-training: each event gets the
    answer of the model that has not seen it.
    Raises InputError if the ntuple does not fit the model, the model file is another one, or the friend exists already.
    """
    start = time.perf_counter()
    loaded = [_Model(read_model(path, sha256), open_session(path, threads)) for path, sha256 in models.items()]
    loaded.sort(key=lambda model: model.contract.fold.index if model.contract.fold else 0)
    contract = loaded[0].contract
    n_models = contract.fold.of if contract.fold else 1
    if len(loaded) != n_models:
        raise InputError(f"the cross-training has {n_models} models, but {len(loaded)} are given; give one per fold")
    if Path(friend).exists():
        raise InputError(f"{friend}: this file exists already and is not overwritten; move it away")
    branches = branch_names(contract)
    opened = open_joined(ntuple.path, ntuple.tree, ntuple.friends)
    with opened as joined, atomic(friend) as temporary, uproot.recreate(temporary) as file:
        tree = joined.tree
        check_ntuple(contract.layout, ntuple, joined.depths(branches_to_read(contract, ntuple)))
        n, n_selected = tree.num_entries, 0
        make_tree = file.mkrntuple if is_rntuple(tree) else file.mktree
        branch_type = ak.types.ListType(ak.types.NumpyType("float32")) if contract.layout.object else np.dtype(np.float32)
        output = make_tree(tree.name, dict.fromkeys(branches, branch_type))
        for batch in _scored_batches(loaded, ntuple, joined):
            columns: list[Any] = list(batch.answers.T)
            if batch.counts is not None:
                columns = [ak.unflatten(np.ascontiguousarray(column), batch.counts) for column in columns]
            output.extend(dict(zip(branches, columns, strict=True)))
            n_selected += int(batch.is_selected.sum())
        file[DESCRIPTION] = json.dumps(
            {
                "ntuple": {
                    **identity(tree, ntuple.path),
                    "xxh3": None if is_remote(ntuple.path) else file_xxh3(ntuple.path),
                    "tree": tree.name,
                    "entries": n,
                },
                "selection": list(ntuple.selection),
                "selected": n_selected,
                "not_selected": NOT_SELECTED,
                **({"not_selected_quantities": "NaN"} if contract.regression else {}),
                "model_sha256": list(models.values()) if contract.fold else next(iter(models.values())),
                "runtime": f"onnxruntime {ort.__version__}",
                "contract": contract.to_dict(),
            }
        )
    seconds = time.perf_counter() - start
    examples_name = f"{contract.layout.object} objects" if contract.layout.object else "entries"
    _log.info(
        f"{ntuple.path}: {n:,} entries read, {n_selected:,} {examples_name} selected and scored in {seconds:.1f} s "
        f"({n / seconds:,.0f} entries/s)"
    )


def branch_names(contract: Contract) -> list[str]:
    """The friend's branches, in the order of the columns of the outputs."""
    run = contract.run.removesuffix(f"-fold{contract.fold.index}") if contract.fold else contract.run
    return [f"{run}_{name}".replace("-", "_") for name in contract.columns]


def branches_to_read(contract: Contract, ntuple: Ntuple) -> list[str]:
    """The branches of the model and the cuts; with folds also `event_id`, which decides the model of an event."""
    event_id = identifying_branches(contract.event_id) if contract.fold else ()
    return list(dict.fromkeys([*contract.layout.branches, *event_id, *ntuple.cut_branches()]))


def check_ntuple(layout: Layout, ntuple: Ntuple, depths: Mapping[str, int]) -> None:
    """Raise InputError if a branch has numbers where the model takes lists, or the reverse; `depths`: from ntuples.depths."""
    kinds = ("one number", "a list of numbers", "a list of lists")
    for branch, name in layout.inputs.items():
        link = name is not None and layout.sets[name].link is not None
        in_object = layout.object is not None and (name is not None or belongs_to(branch, layout.object)) and not link
        expected = (name is not None) + in_object
        if depths[branch] != expected:
            raise InputError(
                f"{ntuple.path}: branch '{branch}' has {kinds[depths[branch]]} per entry, but the model takes {kinds[expected]}"
            )
    cuts = {f"selection {i + 1}": Expression(cut) for i, cut in enumerate(ntuple.selection)}
    per_example = example_depths(layout.object, depths, ntuple.path)
    check_numbers(cuts, ntuple.define if cuts else {}, per_example, where=ntuple.path, unit=layout.object or "entry")


@dataclass(frozen=True)
class _ScoredBatch:
    """All outputs side by side [n, n_columns], what is selected [n], and the number of objects per entry, if any."""

    answers: npt.NDArray[np.float32]
    is_selected: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.int64] | None


def _scored_batches(models: Sequence[_Model], ntuple: Ntuple, joined: Joined) -> Iterator[_ScoredBatch]:
    contract = models[0].contract
    layout = contract.layout
    not_selected = np.array([NOT_SELECTED] * len(contract.classes) + [np.nan] * len(contract.scales), np.float32)
    event_id = contract.event_id if contract.fold else ()
    for entries in joined.batches(branches_to_read(contract, ntuple), _STEP, event_id=event_id):
        values, n, where, counts = entries.columns, entries.n, entries.where, None
        if layout.object:
            values, counts = examples(values, layout, where)
            n = int(counts.sum())
        if ntuple.selection:
            define(values, ntuple.define, where)
        is_selected = selected(ntuple.selection, values, n, where)
        answers = np.tile(not_selected, (n, 1))
        model_index = np.zeros(n, np.int64)
        if contract.fold:
            fold_of_entry = fold_index(event_hash(entries.identity, contract.seed), contract.fold.of)
            model_index = fold_of_entry if counts is None else np.repeat(fold_of_entry, counts)
        for index, model in enumerate(models):
            rows = is_selected & (model_index == index)
            answers[rows] = _answers(model, values, rows, where)
        yield _ScoredBatch(answers, is_selected, counts)


def _answers(model: _Model, values: Mapping[str, Any], rows: npt.NDArray[np.bool_], where: str) -> npt.NDArray[np.float32]:
    """All outputs side by side [n_rows, n_columns] of the rows [n] that are true."""
    layout = model.contract.layout
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, as in training
        scalars = {b: ak.to_numpy(values[b])[rows].astype(np.float32)[:, None] for b in layout.scalars}
    sets = [_Constituents(features, values, where) for features in layout.sets.values() if features.is_jagged]
    indices = np.flatnonzero(rows)
    answers = np.empty((len(indices), len(model.contract.columns)), np.float32)
    for first in range(0, len(indices), _BATCH):
        batch = slice(first, first + _BATCH)
        inputs = {branch: column[batch] for branch, column in scalars.items()}
        for branches in sets:
            inputs |= branches.padded(indices[batch])
        answers[batch] = side_by_side(model.session.run(None, inputs))
    return answers


class _Constituents:
    """The branches of one set, ready to be padded."""

    def __init__(self, features: Set, values: Mapping[str, Any], where: str) -> None:
        columns, counts = constituents(features.branches, values, where)
        self._columns = dict(zip(features.branches, columns, strict=True))
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # The graph uses at most max_length constituents. It needs all of them only if it sorts them.
        self._kept = counts if features.sort_by else np.minimum(counts, features.max_length or 0)

    def padded(self, rows: npt.NDArray[np.intp]) -> dict[str, npt.NDArray[np.float32]]:
        """Each branch as [n_rows, L], zeros after the constituents; L is the longest of these rows, at least 1."""
        starts, kept = self._starts[rows], self._kept[rows]
        slots = np.arange(max(1, int(kept.max(initial=0))))
        inside = slots < kept[:, None]
        source = (starts[:, None] + slots)[inside]
        arrays = {}
        for branch, column in self._columns.items():
            arrays[branch] = np.zeros(inside.shape, np.float32)
            arrays[branch][inside] = column[source]
        return arrays
