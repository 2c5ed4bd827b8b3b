"""What an earlier model answers for the test examples of this run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclotrain.contract import Contract
from cyclotrain.contract.compared import contract_of_model, require_comparable, require_same_constituents, seen_in_training
from cyclotrain.contract.results import ComparedModel
from cyclotrain.core.files import file_sha256
from cyclotrain.evaluation.predictions import write_answers
from cyclotrain.runtimes.sessions import open_session

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """An entry of `compare`: its name, what the config says of where it is, and its ONNX file."""

    name: str
    where: str
    model: str | Path


def predict_compared(contract: Contract, entry: Entry, *, shards: Sequence[str], threads: int, path: str | Path) -> ComparedModel:
    """Write the probabilities of an exported model, by its branches, for the test split of this run; returns what it is.

    Raises InputError for a model of other classes, or of inputs that this run does not have.
    """
    model, key = entry.model, f"compare.{entry.name}"
    other = contract_of_model(key, model)
    own = contract.layout
    require_comparable(key, other, classes=contract.classes, branches=own.inputs, object_name=own.object)
    require_same_constituents(key, other.layout, own)
    session = open_session(model, threads)
    write_answers(contract, shards, session, split="test", path=path, columns=contract.classes)
    note = seen_in_training(other, contract)
    if note:
        _log.warning("%s: %s", key, note)
    return ComparedModel(name=entry.name, where=entry.where, run=other.run, model_sha256=file_sha256(model), note=note)
