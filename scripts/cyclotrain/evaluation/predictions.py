"""What models answer for the examples of a split: written block by block, and read so, or whole."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cyclotrain.contract import Contract
from cyclotrain.core.files import atomic
from cyclotrain.data.shards import Examples, iterate_split
from cyclotrain.data.training_weights import training_weights

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

EXAMPLES = "examples"  # the file beside those of the models
_BLOCK = 2**17  # examples
_BATCH = 1024  # of the network
_log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """Examples with the answers of models.

    label [n] int64; weight, the physics weight, and training_weight [n]; observers [n, n_observers], targets [n, n_quantities]
    and answers [n, n_columns] by scorer (contract.results: MODEL, BOOSTED_TREES, ...), all float32; NaN where there is no target.
    """

    contract: Contract
    label: npt.NDArray[np.int64]
    weight: Floats
    training_weight: Floats
    observers: Floats
    targets: Floats
    answers: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.label)

    def observer(self, text: str) -> Floats:
        """The values [n] of an observer, by its expression."""
        return self.observers[:, self.contract.layout.observers.index(text)]

    def probabilities(self, scorer: str) -> Floats:
        """The probabilities [n, n_classes] that a model or the boosted trees give."""
        return self.answers[scorer][:, : len(self.contract.classes)]

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> "Scored":
        """Those of some rows, given by their numbers or as a mask [n]."""
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("contract", "answers")}
        answers = {scorer: values[rows] for scorer, values in self.answers.items()}
        return Scored(contract=self.contract, answers=answers, **{name: values[rows] for name, values in parts.items()})

    @classmethod
    def concatenated(cls, parts: Sequence["Scored"]) -> "Scored":
        """All examples of at least one part, in order."""
        names = [field.name for field in fields(cls) if field.name not in ("contract", "answers")]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        answers = {scorer: np.concatenate([part.answers[scorer] for part in parts]) for scorer in parts[0].answers}
        return cls(contract=parts[0].contract, answers=answers, **arrays)


class Predictions:
    """The files of one split, memory-mapped; `answers`: a file for each scorer."""

    def __init__(self, contract: Contract, *, examples: str | Path, answers: Mapping[str, str | Path]) -> None:
        self.contract = contract
        self._examples = _table(examples)
        self._answers = {scorer: table for scorer, path in answers.items() if (table := _table(path)).num_columns}

    def __len__(self) -> int:
        return int(self._examples.num_rows)

    @property
    def scorers(self) -> tuple[str, ...]:
        """What gives answers; not the boosted trees if they were not trained."""
        return tuple(self._answers)

    def whole(self) -> Scored:
        """All examples at once."""
        return self.part(0, len(self))

    def blocks(self) -> Iterator[Scored]:
        """Part after part, for sums that need no more memory for more examples."""
        for start in range(0, len(self), _BLOCK):
            yield self.part(start, _BLOCK)

    def part(self, start: int, n: int) -> Scored:
        """The examples from number `start` on, at most `n`."""
        rows = self._examples.slice(start, n)
        layout = self.contract.layout
        return Scored(
            contract=self.contract,
            label=rows["label"].to_numpy().astype(np.int64),
            weight=rows["weight"].to_numpy(),
            training_weight=rows["training_weight"].to_numpy(),
            observers=_matrix(rows, [f"observer:{text}" for text in layout.observers]),
            targets=_matrix(rows, [f"target:{name}" for name in layout.targets]),
            answers={scorer: _matrix(table.slice(start, n), table.column_names) for scorer, table in self._answers.items()},
        )


def write_examples(contract: Contract, shards: Sequence[str], *, split: str, path: str | Path) -> None:
    """Write what is known of the examples of a split, besides what models answer."""
    layout = contract.layout
    names = ["weight", "training_weight", *(f"observer:{o}" for o in layout.observers), *(f"target:{q}" for q in layout.targets)]
    schema = pa.schema([("label", pa.int32()), *((name, pa.float32()) for name in names)])
    with _writer(path, schema) as write:
        for examples in _iterate(contract, shards, split):
            columns = [examples.weight, training_weights(examples, contract), *examples.observers.T, *examples.targets.T]
            write([examples.label.astype(np.int32), *columns])


def write_answers(
    contract: Contract,
    shards: Sequence[str],
    session: "InferenceSession",
    *,
    split: str,
    path: str | Path,
    columns: Sequence[str] | None = None,
) -> None:
    """Write the outputs of a model, by its ONNX Runtime session, for the examples of a split.

    The model takes all or some of the branches of the contract. columns: how many of its columns, from the first on, and their
    names; by default those of the contract.
    """
    # PyTorch is imported here, because studies that read answers need none
    from cyclotrain.data.batches import Batches
    from cyclotrain.runtimes.sessions import predict

    start, n = time.perf_counter(), 0
    names, inputs = columns or contract.columns, [one.name for one in session.get_inputs()]
    with _writer(path, _of_answers(names)) as write:
        for examples in _iterate(contract, shards, split):
            batches = (batch.branches for batch in Batches(examples, contract.layout, _BATCH))
            answers = predict(session, ({name: branches[name] for name in inputs} for branches in batches))
            write(list(answers[:, : len(names)].T))
            n += len(examples)
    seconds = time.perf_counter() - start
    _log.info("%s: %d examples of the %s split in %.1f s", Path(path).stem, n, split, seconds)


def write_probabilities(contract: Contract, probabilities: Floats, path: str | Path) -> None:
    """Write the probabilities [n, n_classes] of something else than a model, or [n, 0] if there are none."""
    columns = contract.classes if probabilities.shape[1] else ()
    with _writer(path, _of_answers(columns)) as write:
        write(list(probabilities.T))


def _iterate(contract: Contract, shards: Sequence[str], split: str) -> Iterator[Examples]:
    parts = iterate_split(shards, contract.layout, split, normalisation=contract.normalisation, fold=contract.fold)
    return (part for part in parts if len(part))


def _of_answers(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, pa.float32()) for name in columns])


@contextmanager
def _writer(path: str | Path, schema: pa.Schema) -> Iterator[Callable[[Sequence[npt.NDArray[np.generic]]], None]]:
    """A function that writes columns [n] as a record batch to an Arrow file, which is whole or not there."""
    with atomic(path) as temporary, pa.ipc.new_file(str(temporary), schema) as file:
        yield lambda columns: file.write(pa.record_batch([pa.array(values) for values in columns], schema=schema))


def _table(path: str | Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _matrix(table: pa.Table, names: Sequence[str]) -> Floats:
    matrix = np.empty((table.num_rows, len(names)), np.float32)
    for index, name in enumerate(names):
        matrix[:, index] = table[name].to_numpy()
    return matrix
