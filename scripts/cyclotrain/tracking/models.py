"""The exported model as MLflow's model: signature, example, files."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from cyclotrain.contract import Contract
from cyclotrain.contract.run import Run
from cyclotrain.core.files import read_json

NAME = "model"
_EXAMPLES = 3


def log_model(client: mlflow.MlflowClient, run_id: str, experiment_id: str, *, run: Run, reference: Path) -> str:
    """The id of the model in MLflow, logged if the MLflow run `run_id` has none; `reference`: reference.json."""
    known = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    for model in known:
        if model.status == "READY":
            return model.model_id
        client.delete_logged_model(model.model_id)  # an upload that was interrupted
    with mlflow.start_run(run_id=run_id, log_system_metrics=False):
        # as it is, with no environment guessed: the file needs ONNX Runtime alone
        logged = mlflow.onnx.log_model(
            onnx.load(run.files["model"]),
            name=NAME,
            signature=signature(run.contract),
            input_example=example(run.contract, reference),
            pip_requirements=["onnxruntime"],
            save_as_external_data=False,  # one file, with the same bytes
            # who has a GPU asks for it; else MLflow warns where there is none
            onnx_execution_providers=["CPUExecutionProvider"],
        )
    return logged.model_id


def signature(contract: Contract) -> ModelSignature:
    """By hand, because an inferred one would freeze the jagged axes."""
    inputs = [TensorSpec(np.dtype(np.float32), (-1, 1 if name is None else -1), b) for b, name in contract.layout.inputs.items()]
    outputs = [TensorSpec(np.dtype(np.float32), (-1, len(output.columns)), output.name) for output in contract.outputs]
    return ModelSignature(Schema(inputs), Schema(outputs))


def example(contract: Contract, reference: Path) -> dict[str, npt.NDArray[np.float32]] | None:
    """The first test examples of reference.json by branch, [_EXAMPLES, 1] and [_EXAMPLES, longest set]; padded with 0.

    None if it has none, because each has NaN or infinity in a branch.
    """
    examples: list[dict[str, Any]] = [one["inputs"] for one in read_json(reference)["examples"][:_EXAMPLES]]
    if not examples:
        return None
    return {branch: _padded([one[branch] for one in examples]) for branch in contract.layout.inputs}


def _padded(rows: list[list[float]]) -> npt.NDArray[np.float32]:
    # all branches of a set have the same lengths; a set needs room for one constituent
    padded = np.zeros((len(rows), max(1, *map(len, rows))), np.float32)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded
