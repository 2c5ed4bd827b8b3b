"""A finished run in a real MLflow store."""

from pathlib import Path
from typing import Any

import mlflow
import onnxruntime as ort
import pytest

from cyclotrain.contract.run import Run
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.gates.judge import judge
from cyclotrain.tracking.registry import fetch_weights
from cyclotrain.tracking.runs import track
from support.trained import Trained


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def tracked(run: Run, uri: str, folder: Path) -> Any:
    """MLflow's run, and the client."""
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots/roc.png").write_bytes(b"png")
    (folder / "card.md").write_text("card")
    config = {
        "run": "toys", "training": {"epochs": 3, "learning_rate_factors": {"phi.*": 0.1}}, "samples": {},
        "gates": {"auc.*": [">= 0.9"]}, "flatten": {"variables": {"log(jet_pt)": [1, 2]}, "to": "flat"},
    }  # fmt: skip
    files = {"plots": [folder / "plots/roc.png"], "cards": [folder / "card.md"]}
    address = track(run, uri=uri, experiment="toys", config=config, **files)
    client = mlflow.MlflowClient(uri)
    return client.get_run(address["run_id"]), client


def test_the_run_holds_every_figure_by_its_name_its_epochs_files_and_model(trained: Trained, store: str, tmp_path: Path) -> None:
    run = trained.run()
    entry, client = tracked(run, store, tmp_path)
    assert entry.info.status == "FINISHED" and entry.data.tags["cyclotrain.gates"] == "passed"
    figures = {name: figure.value for name, figure in run.figures().items() if figure.value is not None}
    assert {name: entry.data.metrics[name] for name in figures} == pytest.approx(figures)
    for name in ("auc.background", "rejection.background.at_0.5", "parity.model", "latency_ms.p99"):
        assert name in figures
    assert len(client.get_metric_history(entry.info.run_id, "validation_loss")) == len(run.history.epochs)
    assert entry.data.params["training.epochs"] == "3"
    assert entry.data.params["gates"] == "{'auc.*': ['>= 0.9']}" and entry.data.params["flatten.to"] == "flat"
    artifacts = {file.path for file in client.list_artifacts(entry.info.run_id)}
    assert {"card.md", "plots", "gates.json", "evaluation.json", "verification_matrix.json"} <= artifacts
    (model,) = client.search_logged_models([entry.info.experiment_id])
    path = mlflow.artifacts.download_artifacts(f"{model.artifact_location}/model.onnx")
    assert [i.name for i in ort.InferenceSession(path).get_inputs()] == list(run.contract.layout.inputs)


def test_a_failed_gate_makes_the_run_failed_and_the_same_model_updates_its_run(
    trained: Trained, store: str, tmp_path: Path
) -> None:
    run = trained.run()
    before, _ = tracked(run, store, tmp_path)
    gates = judge(run.verification, run.figures(), bounds={"auc.*": [">= 0.9999"]}, rejection_losses={})
    after, client = tracked(Run(**{**vars(run), "gates": gates}), store, tmp_path)
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FAILED"
    assert after.data.tags["cyclotrain.gates"].startswith("failed: auc.background = 0.")
    assert "required >= 0.9999; the limit is gates.auc.*" in after.data.tags["cyclotrain.gates"]
    assert len(client.search_runs([after.info.experiment_id])) == 1


def test_a_deleted_experiment_is_named_with_its_store_and_how_to_bring_it_back(trained: Trained, tmp_path: Path) -> None:
    run, uri = trained.run(), f"sqlite:///{tmp_path / 'a store.db'}"
    before, client = tracked(run, uri, tmp_path)
    client.delete_experiment(before.info.experiment_id)
    with pytest.raises(InputError, match=r"'toys' \(id 1\) in 'sqlite:.*a store\.db' was deleted") as raised:
        tracked(run, uri, tmp_path)
    assert f"MLFLOW_TRACKING_URI='{uri}' mlflow experiments restore --experiment-id 1\n" in str(raised.value)
    client.restore_experiment(before.info.experiment_id)
    after, _ = tracked(run, uri, tmp_path)
    assert after.info.run_id == before.info.run_id


def test_a_run_that_was_deleted_is_made_anew(trained: Trained, store: str, tmp_path: Path) -> None:
    before, client = tracked(trained.run(), store, tmp_path)
    client.delete_run(before.info.run_id)
    after, _ = tracked(trained.run(), store, tmp_path)
    assert after.info.run_id != before.info.run_id and after.data.metrics == before.data.metrics


def test_a_store_that_cannot_be_used_is_named(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match=r"tracking\.uri: MLflow's store 'http://127\.0\.0\.1:9' cannot be used.*refused"):
        tracked(trained.run(), "http://127.0.0.1:9", tmp_path)
    (tmp_path / "broken.db").write_text("no database" * 1000)
    with pytest.raises(InputError, match=r"tracking\.uri: MLflow's store 'sqlite:.*broken\.db' cannot be used.*not a database"):
        tracked(trained.run(), f"sqlite:///{tmp_path / 'broken.db'}", tmp_path)


def test_the_weights_of_a_registered_model_are_fetched_by_its_alias(trained: Trained, store: str, tmp_path: Path) -> None:
    entry, client = tracked(trained.run(), store, tmp_path)
    models = client.search_logged_models([entry.info.experiment_id])
    model = next(model for model in models if model.source_run_id == entry.info.run_id)
    mlflow.set_tracking_uri(store)
    version = mlflow.register_model(f"models:/{model.model_id}", "tagger").version
    client.set_registered_model_alias("tagger", "best", version)
    for name in ("models:/tagger@best", f"models:/tagger/{version}"):
        fetch_weights(name, uri=store, path=tmp_path / "weights.pt")
        assert file_sha256(tmp_path / "weights.pt") == file_sha256(trained.weights)
    with pytest.raises(InputError, match=r"training.initial_weights: 'models:/tagger@worst' is not in MLflow's store 'sqlite"):
        fetch_weights("models:/tagger@worst", uri=store, path=tmp_path / "weights.pt")
