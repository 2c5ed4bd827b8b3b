"""A finished run into MLflow: one writer, at the end, from the files that the other steps wrote."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, Experiment, InputTag, Metric, Param, Run
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import OUTPUT, model_metadata
from cyclotrain.core.files import file_sha256, read_json, read_json_lines

_MODEL_TAG = "cyclotrain.model_sha256"
_log = logging.getLogger(__name__)


def track(
    uri: str,
    experiment: str,
    config: Mapping[str, Any],
    contract: Contract,
    files: Mapping[str, str],
    plots: Path,
    cards: Sequence[str | Path],
) -> dict[str, str]:
    """Write the run to the MLflow store at `uri` and return its ids and address.

    A run is known by the SHA-256 of its model.onnx: the same model updates its run, another one makes a new run.
    `files`: paths of model, history, verification, evaluation, benchmark, contract and dataset.
    """
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    of = _experiment(client, experiment, uri)
    sha256 = file_sha256(files["model"])
    history = read_json_lines(files["history"])
    results = {name: read_json(files[name]) for name in ("verification", "evaluation", "benchmark", "dataset")}
    verification, evaluation, benchmark = (results[name] for name in ("verification", "evaluation", "benchmark"))
    run, is_new = _run(client, of, contract.run, sha256, history)
    if is_new:
        client.log_batch(
            run.info.run_id,
            metrics=[
                Metric(name, line[name], int(line["time"] * 1000), int(line["epoch"]))
                for line in history
                for name in ("train_loss", "validation_loss", "validation_auc", "learning_rate")
            ],
            params=[Param(key, str(value)[:6000]) for key, value in _flat(config).items()],
        )
        client.log_inputs(
            run.info.run_id,
            [DatasetInput(_dataset(contract)._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])],
        )
    ended = int(history[-1]["time"] * 1000)
    client.log_batch(
        run.info.run_id,
        metrics=[
            *(Metric(k, v, ended, 0) for k, v in _results(verification, evaluation, benchmark).items()),
            Metric("files_skipped", len(results["dataset"]["skipped"]), ended, 0),
        ],
    )
    _tag_provenance(client, run.info.run_id, files["model"])
    passed = verification["passed"] and evaluation["passed"]
    client.set_tag(run.info.run_id, "cyclotrain.gates", "passed" if passed else "failed")
    client.log_artifacts(run.info.run_id, str(plots), "plots")
    for path in cards:
        client.log_artifact(run.info.run_id, str(path))
    matrix = verification["matrix"]
    client.log_table(run.info.run_id, {key: [line[key] for line in matrix] for key in matrix[0]}, "verification_matrix.json")
    for name in ("contract", "dataset", "verification", "evaluation", "benchmark", "history"):
        client.log_artifact(run.info.run_id, files[name])
    if is_new:
        with mlflow.start_run(run_id=run.info.run_id, log_system_metrics=False):
            # as it is, with no environment guessed: the file needs ONNX Runtime alone
            mlflow.onnx.log_model(
                onnx.load(files["model"]),
                name="model",
                signature=_signature(contract),
                pip_requirements=["onnxruntime"],
            )
    client.set_terminated(run.info.run_id, "FINISHED" if passed else "FAILED")
    _log.info("%s run '%s' in experiment '%s'", "made" if is_new else "updated", contract.run, experiment)
    return {"tracking_uri": uri, "experiment_id": of.experiment_id, "run_id": run.info.run_id, "model_sha256": sha256}


def _experiment(client: mlflow.MlflowClient, name: str, uri: str) -> Experiment:
    found = client.get_experiment_by_name(name)
    if found is None:
        # a local store keeps its artifacts beside it; a server has its own place for them
        local = Path(uri.removeprefix("sqlite:///")).resolve().with_name("mlartifacts") if uri.startswith("sqlite:///") else None
        # else the UI opens on the pages for language models
        tags = {"mlflow.experimentKind": "custom_model_development"}
        found = client.get_experiment(client.create_experiment(name, local.as_uri() if local else None, tags))
    return found


def _run(client: mlflow.MlflowClient, of: Experiment, name: str, sha256: str, history: list[dict[str, Any]]) -> tuple[Run, bool]:
    found = client.search_runs([of.experiment_id], f"tags.`{_MODEL_TAG}` = '{sha256}' AND attributes.run_name = '{name}'")
    if found:
        return found[0], False
    started = int((history[0]["time"] - history[0]["seconds"]) * 1000)
    tags = {_MODEL_TAG: sha256, "mlflow.source.name": "cyclotrain", "mlflow.source.type": "PROJECT"}
    return client.create_run(of.experiment_id, start_time=started, tags=tags, run_name=name), True


def _tag_provenance(client: mlflow.MlflowClient, run_id: str, model: str | Path) -> None:
    """Tag a run with the commit and the software that stand in the ONNX file."""
    props = model_metadata(onnx.load(model))
    client.set_tag(run_id, "mlflow.source.git.commit", props["commit"].removesuffix("-dirty"))
    client.set_tag(run_id, "cyclotrain.commit", props["commit"])
    client.set_tag(run_id, "cyclotrain.software", json.dumps(props["software"]))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return flat


def _dataset(contract: Contract) -> MetaDataset:
    source = CodeDatasetSource(tags={"samples": ", ".join(contract.samples), "sha256": contract.dataset_sha256})
    return MetaDataset(source, name=contract.run, digest=contract.dataset_sha256[:36])  # 36 is MLflow's limit


def _results(verification: Mapping[str, Any], evaluation: Mapping[str, Any], benchmark: Mapping[str, Any]) -> dict[str, float]:
    here = benchmark["runtimes"][0]
    results = {
        "parity_max_abs": verification["max_abs"],
        **{f"latency_ms_{q}": value for q, value in here["batch_1_latency_ms"].items()},
        "throughput_per_second": here["examples_per_second"]["1024"],
        "cold_start_ms": here["cold_start_ms"],
    }
    for line in verification["matrix"]:
        if line["optimisation"] == "enable_all" and line["threads"] == 1:
            gpu = "_CUDA" * ("CUDA" in line["provider"]) + "_TF32" * line["tf32"]
            results[f"parity_max_abs/{line['artefact']}/{line['runtime'].replace(' ', '_')}{gpu}"] = line["max_abs"]
    for kind, line in benchmark["variants"].items():
        results |= {f"variant/{kind}/{name}_gain": value for name, value in line["gain"].items()}
        results[f"variant/{kind}/rejection_loss"] = evaluation["variants"][kind]["rejection_loss"]
    for background, of in evaluation["backgrounds"].items():
        for model, figures in of.items():
            suffix = f"{background}" if model == "model" else f"{background}_{model}"
            results[f"auc_{suffix}"] = figures["auc"]["value"]
            for point in figures["rejection"]:
                if point["value"] is not None:
                    results[f"rejection_at_{point['signal_efficiency']:g}_{suffix}"] = point["value"]
    return results


def _signature(contract: Contract) -> ModelSignature:
    """By hand, as an inferred one would freeze the jagged axes."""
    inputs = [TensorSpec(np.dtype(np.float32), (-1, 1 if name is None else -1), b) for b, name in contract.layout.inputs.items()]
    output = TensorSpec(np.dtype(np.float32), (-1, len(contract.classes)), OUTPUT)
    return ModelSignature(Schema(inputs), Schema([output]))
