"""A finished run into MLflow: one writer, at the end, from the files that the other steps wrote."""

import json
import logging
import os
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, Experiment, InputTag, LifecycleStage, Metric, Param
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.types import Schema, TensorSpec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import History
from cyclotrain.contract.run import Run
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256, locked

_MODEL_TAG = "cyclotrain.model_sha256"
_COMPLETE_TAG = "cyclotrain.complete"  # set last: a run that lacks it was interrupted, and is written anew
_TAG_LENGTH = 5000  # MLflow's limit is 8000
_log = logging.getLogger(__name__)


def track(
    run: Run, *, uri: str, experiment: str, config: Mapping[str, Any], plots: Sequence[str | Path], cards: Sequence[str | Path]
) -> dict[str, str]:
    """Write the run to the MLflow store at `uri` and return its ids and address.

    A run is known by the SHA-256 of its model.onnx: the same model updates its run, another one makes a new run. Its status
    is FAILED if a gate failed; the tag `cyclotrain.gates` tells which. An SQLite store takes one writer at a time, so jobs that
    write to the same file wait for each other. Raises InputError if the store cannot be used or the experiment was deleted.
    """
    start = time.perf_counter()
    database = _sqlite_file(uri)
    with locked(database) if database else nullcontext():
        store, run_id, is_new = _write(run, uri=uri, experiment=experiment, config=config, files=[*plots, *cards])
    action = "made" if is_new else "updated"
    _log.info("%s run '%s' in experiment '%s'; %.1f s", action, run.contract.run, experiment, time.perf_counter() - start)
    return {"tracking_uri": uri, "experiment_id": store, "run_id": run_id, "model_sha256": file_sha256(run.files["model"])}


def _sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    if not uri.startswith("sqlite:"):
        return None
    database = make_url(uri).database
    return Path(database).resolve() if database else None


def _write(
    run: Run, *, uri: str, experiment: str, config: Mapping[str, Any], files: Sequence[str | Path]
) -> tuple[str, str, bool]:
    """Write the run; the ids of its experiment and of itself, and whether it is new. `files`: plots and cards."""
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"  # a bar a file would break that of the run
    mlflow.set_tracking_uri(uri)
    client, store = _open(uri, experiment)
    entry, is_new = _entry(client, store, run, file_sha256(run.files["model"]))
    run_id = entry.info.run_id
    if is_new:
        _log_training(client, run_id, run, config)
    _log_results(client, run_id, run, files)
    if is_new:
        with mlflow.start_run(run_id=run_id, log_system_metrics=False):
            # as it is, with no environment guessed: the file needs ONNX Runtime alone
            mlflow.onnx.log_model(
                onnx.load(run.files["model"]),
                name="model",
                signature=_signature(run.contract),
                pip_requirements=["onnxruntime"],
            )
    client.set_tag(run_id, _COMPLETE_TAG, "yes")
    client.set_terminated(run_id, "FINISHED" if run.gates.passed else "FAILED")
    return store.experiment_id, run_id, is_new


def _open(uri: str, name: str) -> tuple[mlflow.MlflowClient, Experiment]:
    """The store and its experiment of this name, made if there is none."""
    try:
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(name) or _new_experiment(client, name, uri)
    except (MlflowException, SQLAlchemyError) as error:
        raise InputError(
            f"tracking.uri: MLflow's store '{uri}' cannot be used. Start or repair it, or set another one, and run again. "
            f"MLflow says: {error}"
        ) from error
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        number = experiment.experiment_id
        raise InputError(
            f"tracking.experiment: the experiment '{name}' (id {number}) in '{uri}' was deleted. Bring it back:\n"
            f"    MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow experiments restore --experiment-id {number}\n"
            "or give tracking.experiment another name; then run again"
        )
    return client, experiment


def _new_experiment(client: mlflow.MlflowClient, name: str, uri: str) -> Experiment:
    # a local store keeps its artifacts beside it; a server has its own place for them
    database = _sqlite_file(uri)
    artifacts = database.with_name("mlartifacts").as_uri() if database else None
    # else the UI opens on the pages for language models
    tags = {"mlflow.experimentKind": "custom_model_development"}
    try:
        client.create_experiment(name, artifacts, tags)
    except MlflowException as error:
        # another run has made it on the server meanwhile
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    return client.get_experiment_by_name(name)


def _entry(client: mlflow.MlflowClient, experiment: Experiment, run: Run, sha256: str) -> tuple[MlflowRun, bool]:
    """MLflow's run of this model and this name, and whether it is new or was left incomplete."""
    query = f"tags.`{_MODEL_TAG}` = '{sha256}' AND attributes.run_name = '{run.contract.run}'"
    if known := client.search_runs([experiment.experiment_id], query):
        return known[0], _COMPLETE_TAG not in known[0].data.tags
    first = run.history.epochs[0]
    started = int((first.time - first.seconds) * 1000)
    tags = {_MODEL_TAG: sha256, "mlflow.source.name": "cyclotrain", "mlflow.source.type": "PROJECT"}
    return client.create_run(experiment.experiment_id, start_time=started, tags=tags, run_name=run.contract.run), True


def _log_training(client: mlflow.MlflowClient, run_id: str, run: Run, config: Mapping[str, Any]) -> None:
    """What does not change with the model: its parameters, its data, its epochs."""
    client.log_batch(
        run_id,
        metrics=_epoch_metrics(run.history),
        params=[Param(key, str(value)[:6000]) for key, value in _flat(config).items()],
    )
    dataset = _dataset(run.contract)._to_mlflow_entity()
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _epoch_metrics(history: History) -> list[Metric]:
    metrics = []
    for epoch in history.epochs:
        names = ("train_loss", "validation_loss", "validation_auc", "learning_rate")
        figures = {name: getattr(epoch, name) for name in names}
        figures |= {f"validation_loss.{name}": loss for name, loss in epoch.validation_losses.items()}
        metrics += [Metric(name, x, int(epoch.time * 1000), epoch.epoch) for name, x in figures.items() if x is not None]
    return metrics


def _log_results(client: mlflow.MlflowClient, run_id: str, run: Run, files: Sequence[str | Path]) -> None:
    """Figures, verdicts, provenance and files; `files`: plots and cards."""
    ended = int(run.history.epochs[-1].time * 1000)
    values = {name: figure.value for name, figure in run.figures().items()} | {"files_skipped": len(run.dataset.skipped)}
    client.log_batch(run_id, metrics=[Metric(name, value, ended, 0) for name, value in values.items() if value is not None])
    metadata = model_metadata(onnx.load(run.files["model"]))
    failed = "; ".join(str(gate) for gate in run.gates.failed)
    tags = {
        "mlflow.source.git.commit": metadata["commit"].removesuffix("-dirty"),
        "cyclotrain.commit": metadata["commit"],
        "cyclotrain.software": json.dumps(metadata["software"]),
        "cyclotrain.gates": f"failed: {failed}"[:_TAG_LENGTH] if failed else "passed",
    }
    if run.evaluation.note:
        tags["cyclotrain.note"] = run.evaluation.note
    for name, value in tags.items():
        client.set_tag(run_id, name, value)
    for path in map(Path, files):
        client.log_artifact(run_id, str(path), "plots" if path.parent.name == "plots" else None)
    matrix = [row.model_dump() for row in run.verification.matrix]
    client.log_table(run_id, {key: [row[key] for row in matrix] for key in matrix[0]}, "verification_matrix.json")
    for name in ("contract", "dataset", "verification", "evaluation", "timing", "history", "gates"):
        client.log_artifact(run_id, str(run.files[name]))
    # a training may begin with it: tracking/registry.py
    client.log_artifact(run_id, str(run.files["weights"]))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Each value by its key; a mapping stays whole if MLflow takes a name in it for no key, such as a pattern."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        has_keys = isinstance(value, Mapping) and value and all(re.fullmatch(r"[\w.:/ -]+", name, re.ASCII) for name in value)
        flat |= _flat(value, f"{prefix}{key}.") if has_keys else {f"{prefix}{key}": value}
    return flat


def _dataset(contract: Contract) -> MetaDataset:
    source = CodeDatasetSource(tags={"samples": ", ".join(contract.samples), "sha256": contract.dataset_sha256})
    return MetaDataset(source, name=contract.run, digest=contract.dataset_sha256[:36])  # 36 is MLflow's limit


def _signature(contract: Contract) -> ModelSignature:
    """By hand, because an inferred one would freeze the jagged axes."""
    inputs = [TensorSpec(np.dtype(np.float32), (-1, 1 if name is None else -1), b) for b, name in contract.layout.inputs.items()]
    outputs = [TensorSpec(np.dtype(np.float32), (-1, len(output.columns)), output.name) for output in contract.outputs]
    return ModelSignature(Schema(inputs), Schema(outputs))
