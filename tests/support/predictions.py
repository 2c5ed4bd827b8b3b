"""Predictions from arrays, as if a model had answered."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL
from cyclotrain.evaluation.predictions import Predictions, write_probabilities


def predictions(
    contract: Contract,
    folder: Path,
    *,
    label: Any,
    probabilities: Any,
    weight: Any = 1.0,
    observers: dict[str, Any] | None = None,
) -> Predictions:
    """The predictions of one split: labels [n], probabilities [n, n_classes], weights [n], observers [n] by expression."""
    folder.mkdir(parents=True, exist_ok=True)
    n = len(label)
    columns = {"label": np.asarray(label, np.int32)}
    columns |= dict.fromkeys(("weight", "training_weight"), np.broadcast_to(np.float32(weight), n))
    given = {text: np.zeros(n) for text in contract.layout.observers} | (observers or {})
    columns |= {f"observer:{text}": np.asarray(given[text], np.float32) for text in contract.layout.observers}
    columns |= {f"target:{name}": np.full(n, np.nan, np.float32) for name in contract.layout.targets}
    table = pa.table({name: np.ascontiguousarray(values) for name, values in columns.items()})
    with pa.OSFile(str(folder / "examples.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    write_probabilities(contract, np.asarray(probabilities, np.float32), folder / "model.arrow")
    return Predictions(contract, examples=folder / "examples.arrow", answers={MODEL: folder / "model.arrow"})
