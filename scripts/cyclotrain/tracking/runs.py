"""A finished run of the workflow into MLflow: one writer, at the end, from the files that the other steps wrote."""

import csv
import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import onnx
from mlflow.entities import Metric, Param
from mlflow.entities import Run as MlflowRun

from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import History
from cyclotrain.contract.run import Run
from cyclotrain.core.files import file_sha256, json_sha256
from cyclotrain.tracking import datasets, description, models
from cyclotrain.tracking.parameters import parameters
from cyclotrain.tracking.registry import MODEL_SHA256, register
from cyclotrain.tracking.spread import spread
from cyclotrain.tracking.store import again_after_collisions, experiment_of, log, metric_name, opened

_MODEL_TAG = "cyclotrain.model_sha256"
_MODELS_TAG = "cyclotrain.models_sha256"  # of a parent: the SHA-256 of those of its folds
COMPLETE_TAG = "cyclotrain.complete"  # set last: a run that lacks it was interrupted, and is written anew
NOTE_TAG = "mlflow.note.content"
PARENT_TAG = "mlflow.parentRunId"
TRAINING_TAG = "cyclotrain.training"  # of a run that was written while it trained: tracking/live.py
_EPOCHS = "training/"  # the UI shows the metrics before a `/` together
_LAST_OF_EPOCH = f"{_EPOCHS}validation_loss"
_TAG_LENGTH = 5000  # MLflow's limit is 8000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinishedRun:
    """A run of the workflow: its folder, a model or one a fold with its folder, and files for people to read.

    files: plots, cards, reports, each in the folder of the model that it tells of, or above those. references: reference.json,
    in the order of the models.
    """

    config: Mapping[str, Any]
    folder: Path
    models: Mapping[Path, Run]
    references: Sequence[Path]
    files: Sequence[Path]

    def files_of(self, folder: Path) -> dict[Path, str]:
        """Those of a model, or of all models if it is the folder of the run, with the folder of each among the artifacts."""
        others = [other for other in self.models if other != folder]
        own = [p for p in self.files if p.is_relative_to(folder) and not any(p.is_relative_to(other) for other in others)]
        return {path: str(path.parent.relative_to(folder)) for path in own}


def track(finished: FinishedRun, *, tracking: TrackingConfig) -> dict[str, Any]:
    """Write the run to the MLflow store and return its ids and address.

    A run with folds is a parent with a child a fold. A model is known by the SHA-256 of its model.onnx: the same model updates
    its MLflow run, another one makes a new one. The status is FAILED if a gate failed; the tag `gates` tells which.
    Raises InputError if the store cannot be used or the experiment was deleted.
    """
    start = time.perf_counter()
    with opened(tracking.uri) as client:
        experiment_id, run_id = again_after_collisions(lambda: _write(client, finished, tracking))
    name = finished.config["run"]
    _log.info("wrote run '%s' to experiment '%s'; %.1f s", name, tracking.experiment, time.perf_counter() - start)
    hashes = [file_sha256(run.files["model"]) for run in finished.models.values()]
    return {"tracking_uri": tracking.uri, "experiment_id": experiment_id, "run_id": run_id, "model_sha256": hashes}


def _write(client: mlflow.MlflowClient, finished: FinishedRun, tracking: TrackingConfig) -> tuple[str, str]:
    """Write the run; the ids of its experiment and of itself."""
    experiment_id = experiment_of(client, tracking.experiment, tracking.uri).experiment_id
    writer = _Writer(client, experiment_id, finished, tracking.register_as)
    run_id = writer.folds() if finished.config.get("folds") else writer.model(finished.folder, finished.references[0])
    return experiment_id, run_id


@dataclass(frozen=True)
class _Writer:
    client: mlflow.MlflowClient
    experiment_id: str
    finished: FinishedRun
    register: str | None = None

    def folds(self) -> str:
        """The parent of the folds, and the folds; the id of the parent."""
        finished, runs = self.finished, list(self.finished.models.values())
        sha256 = json_sha256([file_sha256(run.files["model"]) for run in runs])
        started = min(began(run.history) for run in runs)
        parent = self._entry(finished.config["run"], {_MODELS_TAG: sha256}, started)
        run_id = parent.info.run_id
        for folder, reference in zip(finished.models, finished.references, strict=True):
            self.model(folder, reference, parent=run_id)
        note = description.of_models(runs, config=finished.config, what="folds", folder=finished.folder.resolve())
        self._set_tags(run_id, {**_provenance(runs[0]), "gates": _verdict(runs), NOTE_TAG: note})
        if COMPLETE_TAG not in parent.data.tags:
            log_parameters(self.client, parent, parameters(finished.config))
        figures = [{name: f.value for name, f in run.figures().items() if f.value is not None} for run in runs]
        self._log_figures(run_id, spread(figures), time_ms=max(map(_ended, runs)))
        self._log_files(run_id, finished.files_of(finished.folder))
        self._complete(run_id, runs)
        return run_id

    def model(self, folder: Path, reference: Path, parent: str | None = None) -> str:
        """A model; the id of its MLflow run. `parent`: that of its folds."""
        run, client, config = self.finished.models[folder], self.client, self.finished.config
        known_by = {_MODEL_TAG: file_sha256(run.files["model"]), **({PARENT_TAG: parent} if parent else {})}
        entry = self._entry(run.contract.run, known_by, began(run.history), training=training_id(run.history))
        run_id = entry.info.run_id
        if COMPLETE_TAG not in entry.data.tags:
            fold = {"fold": str(run.contract.fold.index)} if run.contract.fold else {}
            log_parameters(client, entry, parameters(config) | fold)
            log_epochs(client, run_id, run.history)
            client.log_inputs(run_id, datasets.inputs(run.dataset))
        values = {name: figure.value for name, figure in run.figures().items()} | {"files_skipped": len(run.dataset.skipped)}
        self._log_figures(run_id, {name: x for name, x in values.items() if x is not None}, time_ms=_ended(run))
        note = description.of_model(run, config=config, folder=folder)
        provenance = _provenance(run)
        self._set_tags(run_id, {**provenance, "gates": _verdict([run]), NOTE_TAG: note})
        self._log_results(run_id, run, folder)
        model_id = models.log_model(client, run_id, self.experiment_id, run=run, reference=reference)
        if self.register and run.gates.passed:
            kept = ("commit", "dataset_sha256", "contract_sha256")
            tags = {"run": run.contract.run, **{name: provenance[name] for name in kept}, MODEL_SHA256: known_by[_MODEL_TAG]}
            words = description.in_a_line(run)
            register(client, self.register, run_id=run_id, model_id=model_id, tags=tags, description=words)
        elif self.register:
            _log.warning("not registered as '%s', because a gate failed", self.register)
        self._complete(run_id, [run])
        return run_id

    def _entry(self, name: str, known_by: Mapping[str, str], started: int, training: str | None = None) -> MlflowRun:
        """MLflow's run of this name with these tags, or that of its training while it ran; made if there is none."""
        known = runs_known_by(self.client, self.experiment_id, name, known_by)
        live = runs_known_by(self.client, self.experiment_id, name, {TRAINING_TAG: training}) if training else []
        live = [run for run in live if _MODEL_TAG not in run.data.tags]
        if not known and live:
            for key, value in known_by.items():
                self.client.set_tag(live[0].info.run_id, key, value)
            return live[0]
        if known:
            for run in live:  # another training gave the same model
                self.client.delete_run(run.info.run_id)
            return known[0]
        return new_run(self.client, self.experiment_id, name, known_by, started)

    def _config_tags(self) -> dict[str, str]:
        config = self.finished.config
        without_seed = {key: value for key, value in config.items() if key not in ("run", "seed")}
        return {
            "config_sha256": json_sha256(config),
            # runs of several seeds have this in common
            "config_without_seed_sha256": json_sha256(without_seed),
        }

    def _set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set these, and the hashes of the config."""
        for name, value in {**self._config_tags(), **tags}.items():
            self.client.set_tag(run_id, name, value)

    def _log_figures(self, run_id: str, values: Mapping[str, float], *, time_ms: int) -> None:
        """Those that changed: a second value of a metric would be a curve."""
        known = self.client.get_run(run_id).data.metrics
        named = {metric_name(name): value for name, value in values.items()}
        changed = {name: value for name, value in named.items() if known.get(name) != value}
        log(self.client, run_id, metrics=[Metric(name, value, time_ms, 0) for name, value in changed.items()])

    def _log_results(self, run_id: str, run: Run, folder: Path) -> None:
        """The files of a model."""
        self._log_files(run_id, self.finished.files_of(folder))
        self.client.log_text(run_id, _as_csv([row.model_dump() for row in run.verification.matrix]), "verification_matrix.csv")
        for name, path in run.files.items():  # with the weights, with which a training may begin: tracking/registry.py
            if name != "model":
                self.client.log_artifact(run_id, str(path))

    def _log_files(self, run_id: str, files: Mapping[Path, str]) -> None:
        for path, artifact_folder in files.items():
            self.client.log_artifact(run_id, str(path), None if artifact_folder == "." else artifact_folder)

    def _complete(self, run_id: str, runs: Sequence[Run]) -> None:
        self.client.set_tag(run_id, COMPLETE_TAG, "yes")
        status = "FINISHED" if all(run.gates.passed for run in runs) else "FAILED"
        self.client.set_terminated(run_id, status, max(map(_ended, runs)))


def runs_known_by(client: mlflow.MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> list[MlflowRun]:
    """MLflow's runs of this name with these tags."""
    conditions = [*(f"tags.`{key}` = '{value}'" for key, value in tags.items()), f"attributes.run_name = '{name}'"]
    return list(client.search_runs([experiment_id], " AND ".join(conditions)))


def new_run(client: mlflow.MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str], started: int) -> MlflowRun:
    """A run of MLflow's that began at this time (in ms since 1970)."""
    source = {"mlflow.source.name": "cyclotrain", "mlflow.source.type": "PROJECT"}
    return client.create_run(experiment_id, start_time=started, tags={**tags, **source}, run_name=name)


def training_id(history: History) -> str:
    """What a training is known by from its first epoch on, also if it is interrupted."""
    return json_sha256(history.epochs[0].model_dump())


def log_parameters(client: mlflow.MlflowClient, entry: MlflowRun, params: Mapping[str, str]) -> None:
    """Those that the run does not have yet: MLflow refuses another value."""
    new = {key: text for key, text in params.items() if key not in entry.data.params}
    log(client, entry.info.run_id, params=[Param(key, text) for key, text in new.items()])


def log_epochs(client: mlflow.MlflowClient, run_id: str, history: History) -> None:
    """The metrics of the epochs that the run does not have yet."""
    logged = {metric.step for metric in client.get_metric_history(run_id, _LAST_OF_EPOCH)}
    log(client, run_id, metrics=[metric for metric in epoch_metrics(history) if metric.step not in logged])


def epoch_metrics(history: History) -> list[Metric]:
    """The metrics of all epochs; the validation loss is the last of each, so that an epoch that has it is complete."""
    metrics = []
    for epoch in history.epochs:
        figures = {f"{_EPOCHS}{name}": getattr(epoch, name) for name in ("train_loss", "validation_auc", "learning_rate")}
        figures |= {f"{_LAST_OF_EPOCH}.{name}": loss for name, loss in epoch.validation_losses.items()}
        if epoch.usage:  # the UI shows `system/` on a page of its own
            usage = epoch.usage.model_dump(exclude={"batch_job"})
            figures |= {f"system/{name}": value for name, value in usage.items()}
        figures[_LAST_OF_EPOCH] = epoch.validation_loss
        metrics += [Metric(name, x, int(epoch.time * 1000), epoch.epoch) for name, x in figures.items() if x is not None]
    return metrics


def is_of_epochs(metric: str) -> bool:
    """Whether a metric is a curve over the epochs, and not a figure of the finished model."""
    return metric.startswith((_EPOCHS, "system/"))


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table that the UI shows as one."""
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0])
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def began(history: History) -> int:
    """When the training began, in ms since 1970."""
    first = history.epochs[0]
    return int((first.time - first.seconds) * 1000)


def _ended(run: Run) -> int:
    return int(run.files["gates"].stat().st_mtime * 1000)


def _provenance(run: Run) -> dict[str, str]:
    metadata = model_metadata(onnx.load(run.files["model"]))
    commit = metadata["commit"]
    tags = {
        **({"mlflow.source.git.commit": commit.removesuffix("-dirty")} if commit != "unknown" else {}),
        "commit": commit,
        "uncommitted_changes": "yes" if commit.endswith("-dirty") else "no",
        "software": json.dumps(metadata["software"]),
        "dataset_sha256": run.contract.dataset_sha256,
        "contract_sha256": file_sha256(run.files["contract"]),
    }
    if jobs := dict.fromkeys(epoch.usage.batch_job for epoch in run.history.epochs if epoch.usage and epoch.usage.batch_job):
        tags["training_jobs"] = ", ".join(jobs)
    return tags | ({"note": run.evaluation.note} if run.evaluation.note else {})


def _verdict(runs: Sequence[Run]) -> str:
    failed = "; ".join(str(gate) for run in runs for gate in run.gates.failed)
    return f"failed: {failed}"[:_TAG_LENGTH] if failed else "passed"
