"""An earlier exported model on the test events of this run."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from google.protobuf.message import DecodeError

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import MODEL, Evaluation
from cyclotrain.core.errors import InputError
from cyclotrain.evaluation.evaluate import evaluate
from cyclotrain.evaluation.predictions import Predictions, write_answers, write_examples
from cyclotrain.runtimes.sessions import open_session

_log = logging.getLogger(__name__)


def evaluate_earlier_model(
    contract: Contract, exported: Path, *, shards: Sequence[str], settings: EvaluationConfig, threads: int
) -> Evaluation:
    """The figures of an exported model on the examples of this run's contract and shards.

    Raises InputError if the file is no model of Cyclotrain, or if its contract has other inputs or outputs.
    """
    require_same_interface(contract, contract_of(exported))
    predictions = {}
    with TemporaryDirectory() as temporary:
        session = open_session(exported, threads)
        for split in ("train", "test"):
            answers, examples = (Path(temporary) / f"{split}_{name}.arrow" for name in (MODEL, "examples"))
            write_answers(contract, shards, session, split=split, path=answers)
            write_examples(contract, shards, split=split, path=examples)
            predictions[split] = Predictions(contract, examples=examples, answers={MODEL: answers})
        evaluation, _ = evaluate(contract, predictions, model=exported, settings=settings)
    return evaluation


def contract_of(exported: Path) -> Contract:
    """The contract inside a model file; raises InputError if it has none, or that of another version."""
    try:
        metadata = model_metadata(onnx.load(exported))
    except (DecodeError, OSError) as error:
        raise InputError(f"'{exported.name}' is no ONNX file: {error}") from error
    if "contract" not in metadata:
        raise InputError(f"'{exported.name}' was not exported by Cyclotrain: it has no contract inside")
    return Contract.from_dict(metadata["contract"])


def require_same_interface(own: Contract, other: Contract) -> None:
    """Raise InputError, which names each difference, if a model of `other` cannot answer for the examples of `own`."""
    if differences := list(_differences(own, other)):
        raise InputError("it has another contract:" + "".join(f"\n  {difference}" for difference in differences))
    if (own.seed, own.event_id, own.split) != (other.seed, other.event_id, other.split):
        _log.warning(
            "the earlier model, of run '%s', divided the events in another way (seed, event_id or split), so it may have been "
            "trained on some of these test events: the comparison is in its favour", other.run,
        )  # fmt: skip


def _differences(own: Contract, other: Contract) -> Iterator[str]:
    if own.columns != other.columns:
        yield f"outputs: {', '.join(own.columns)} here, {', '.join(other.columns)} there"
    if own.signal != other.signal:
        yield f"signal: {own.signal} here, {other.signal} there"
    if own.layout.object != other.layout.object:
        yield f"object: {own.layout.object} here, {other.layout.object} there"
    lengths = [_lengths(contract) for contract in (own, other)]
    if more := lengths[0].keys() - lengths[1].keys():
        yield f"branches that only this model takes: {', '.join(sorted(more))}"
    if less := lengths[1].keys() - lengths[0].keys():
        yield f"branches that only the other takes: {', '.join(sorted(less))}"
    for branch in lengths[0].keys() & lengths[1].keys():
        here, there = lengths[0][branch], lengths[1][branch]
        if (here is None) != (there is None):
            yield f"{branch}: {'a value' if here is None else 'a list'} here, {'a value' if there is None else 'a list'} there"
        elif here and there and here < there:  # it would get fewer constituents than it was made for
            yield f"max_length of the set with {branch}: {here} here, {there} there"


def _lengths(contract: Contract) -> dict[str, int | None]:
    """By input, the largest number of constituents; None for a scalar."""
    sets = contract.layout.sets
    return {branch: None if name is None else sets[name].max_length for branch, name in contract.layout.inputs.items()}
