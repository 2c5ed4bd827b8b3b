"""An earlier exported model on the test events of this run."""

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.compared import contract_of_model, require_comparable, require_same_constituents, seen_in_training
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

    Raises InputError if the file is no model of Cyclotrain, or if its contract has other outputs, or inputs that this one lacks.
    """
    key, own = exported.stem, contract.layout
    other = contract_of_model(key, exported)
    require_comparable(key, other, classes=contract.classes, branches=own.inputs, object_name=own.object)
    require_same_constituents(key, other.layout, own)
    if (other.columns, other.signal) != (contract.columns, contract.signal):
        raise InputError(f"{key}: it gives {_outputs(other)}, and the model of this run {_outputs(contract)}")
    if note := seen_in_training(other, contract):
        _log.warning("%s, of run '%s': %s; the comparison is then in its favour", key, other.run, note)
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


def _outputs(contract: Contract) -> str:
    return f"{', '.join(contract.columns)}" + f" with the signal {contract.signal}" * bool(contract.signal)
