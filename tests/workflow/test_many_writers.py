"""Ten runs that end at once, and write to one store of MLflow: nothing is lost, and nothing is another run's."""

import multiprocessing
import shutil
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import mlflow
import pytest

from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.run import Run
from cyclotrain.core.files import file_sha256
from cyclotrain.tracking.runs import FinishedRun, track
from support import REPEATS
from support.tracked import finished_run
from support.trained import Trained, with_contract

pytest_plugins = ["mlflow_server"]
pytestmark = pytest.mark.workflow

WRITERS = 10


def run_of(trained: Trained, folder: Path, writer: int) -> FinishedRun:
    """A run whose model, curves, parameters and files are its own."""
    folder.mkdir()
    finished = finished_run(trained, folder, run=f"run-{writer}", seed=100 + writer)
    (run,) = finished.models.values()
    model = with_contract(trained.onnx, folder / "model.onnx", run=f"run-{writer}")
    epochs = [epoch.model_copy(update={"validation_loss": writer + epoch.epoch / 100}) for epoch in run.history.epochs]
    own = Run(
        **{
            **vars(run),
            "files": {**run.files, "model": model},
            "contract": replace(run.contract, run=f"run-{writer}"),
            "history": run.history.model_copy(update={"epochs": tuple(epochs)}),
        }
    )
    (folder / "card.md").write_text(f"card of run-{writer}")
    return replace(finished, models={folder: own})


def write(finished: FinishedRun, tracking: TrackingConfig, start: Barrier) -> None:
    start.wait()
    track(finished, tracking=tracking)


def write_at_once(runs: list[FinishedRun], tracking: TrackingConfig) -> None:
    """Write each from a process of its own; all begin together."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cyclotrain.tracking.runs"])
    start = context.Barrier(len(runs))
    writers = [context.Process(target=write, args=(run, tracking, start)) for run in runs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * len(runs)


def check(runs: list[FinishedRun], tracking: TrackingConfig, downloads: Path) -> None:
    """All runs are there once, each with what is its own."""
    mlflow.set_tracking_uri(tracking.uri)
    client = mlflow.MlflowClient(tracking.uri)
    assert client.search_runs(["0"]) == [], "in the experiment Default"
    experiment = client.get_experiment_by_name(tracking.experiment)
    entries = {entry.info.run_name: entry for entry in client.search_runs([experiment.experiment_id])}
    assert len(entries) == len(client.search_runs([experiment.experiment_id])) == len(runs)
    models = {model.source_run_id: model for model in client.search_logged_models([experiment.experiment_id])}
    versions = {version.run_id: version for version in client.search_model_versions(f"name = '{tracking.register_as}'")}
    assert len(client.search_model_versions(f"name = '{tracking.register_as}'")) == len(runs)
    assert {int(version.version) for version in versions.values()} == set(range(1, len(runs) + 1))
    for writer, finished in enumerate(runs):
        entry, (run,) = entries[f"run-{writer}"], finished.models.values()
        run_id = entry.info.run_id
        assert entry.info.status == "FINISHED" and entry.data.tags["cyclotrain.complete"] == "yes"
        assert entry.data.params["seed"] == str(100 + writer)
        curve = client.get_metric_history(run_id, "training/validation_loss")
        assert [(point.step, point.value) for point in curve] == [(e.epoch, e.validation_loss) for e in run.history.epochs]
        assert {name for name, figure in run.figures().items() if figure.value is not None} <= entry.data.metrics.keys()
        assert {one.dataset.name for one in entry.inputs.dataset_inputs} == {"background", "signal"}
        card = client.download_artifacts(run_id, "card.md", str(downloads))
        assert Path(card).read_text() == f"card of run-{writer}"
        sha256 = file_sha256(run.files["model"])
        assert entry.data.tags["cyclotrain.model_sha256"] == versions[run_id].tags["model_sha256"] == sha256
        assert versions[run_id].source == f"models:/{models[run_id].model_id}"
        model = mlflow.artifacts.download_artifacts(models[run_id].model_uri, dst_path=str(downloads / f"model-{writer}"))
        assert file_sha256(Path(model) / "model.onnx") == sha256
    newest = client.get_model_version_by_alias(tracking.register_as, "challenger")
    assert newest.run_id in versions


@pytest.mark.parametrize("repeat", REPEATS)
def test_ten_runs_at_once_into_one_sqlite_store(trained: Trained, tmp_path: Path, repeat: int) -> None:
    runs = [run_of(trained, tmp_path / f"run-{writer}", writer) for writer in range(WRITERS)]
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="new", register_as="tagger")
    write_at_once(runs, tracking)
    check(runs, tracking, tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("repeat", REPEATS)
def test_ten_runs_at_once_into_a_server_with_postgresql(
    mlflow_server: str, trained: Trained, tmp_path: Path, repeat: int
) -> None:
    runs = [run_of(trained, tmp_path / f"run-{writer}", writer) for writer in range(WRITERS)]
    tracking = TrackingConfig(uri=mlflow_server, experiment=f"new-{repeat}", register_as=f"tagger-{repeat}")
    write_at_once(runs, tracking)
    check(runs, tracking, tmp_path)
    # again at once: nothing is twice
    write_at_once(runs, tracking)
    check(runs, tracking, tmp_path)
