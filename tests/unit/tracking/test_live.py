"""The curves of a training in MLflow while it trains."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from cyclotrain.config import ConfigError, load
from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.results import History
from cyclotrain.tracking import live
from cyclotrain.tracking.runs import track
from support import REPOSITORY
from support.toys import raw_config
from support.tracked import finished_run
from support.trained import Trained

CONFIG = {"training": {"epochs": 3}}


def store(folder: Path) -> TrackingConfig:
    return TrackingConfig(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="toys")


def first(history: History, n: int) -> History:
    return History(epochs=history.epochs[:n])


def test_the_run_that_was_live_is_the_imported_one_and_no_epoch_is_twice(trained: Trained, tmp_path: Path) -> None:
    finished, tracking = finished_run(trained, tmp_path), store(tmp_path)
    history = finished.models[tmp_path].history
    client = mlflow.MlflowClient(tracking.uri)
    ids = set()
    for n, status in ((1, "RUNNING"), (2, "KILLED"), (3, "RUNNING")):
        run_id = live.send(first(history, n), tracking=tracking, run="test", config=finished.config, status=status)
        entry = client.get_run(run_id)
        assert entry.info.status == status and entry.data.params["training.epochs"] == "3"
        assert [point.step for point in client.get_metric_history(run_id, "training/train_loss")] == list(range(1, n + 1))
        ids.add(run_id)
    changed = replace(finished, config={**finished.config, "gates": {"auc.background": [">= 0.4"]}})
    ids.add(track(changed, tracking=tracking)["run_id"])
    assert len(ids) == 1
    entry = client.get_run(run_id)
    assert entry.info.status == "FINISHED" and len(client.search_runs([entry.info.experiment_id])) == 1
    for name in ("train_loss", "validation_loss"):
        assert [point.step for point in client.get_metric_history(run_id, f"training/{name}")] == [1, 2, 3]
    assert track(changed, tracking=tracking)["run_id"] == run_id


def test_a_second_training_that_gives_the_same_model_leaves_no_second_run(trained: Trained, tmp_path: Path) -> None:
    finished, tracking = finished_run(trained, tmp_path), store(tmp_path)
    run_id = track(finished, tracking=tracking)["run_id"]
    run = finished.models[tmp_path]
    later = tuple(epoch.model_copy(update={"time": epoch.time + 100}) for epoch in run.history.epochs)
    again = replace(finished, models={tmp_path: replace(run, history=History(epochs=later))})
    other = live.send(History(epochs=later), tracking=tracking, run="test", config=finished.config, status="RUNNING")
    assert other != run_id
    assert track(again, tracking=tracking)["run_id"] == run_id
    client = mlflow.MlflowClient(tracking.uri)
    assert [entry.info.run_id for entry in client.search_runs([client.get_run(run_id).info.experiment_id])] == [run_id]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("server", ["lost", "silent"])
def test_a_server_that_does_not_answer_costs_a_warning(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    silent_server: str, server: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(live, "_LAST_WORDS", 30.0 if server == "lost" else 3.0)
    uri = "http://127.0.0.1:9" if server == "lost" else silent_server
    path = tmp_path / "history.jsonl"
    with live.beside(path, tracking=TrackingConfig(uri=uri, live=True), run="test", config=CONFIG):
        start = time.monotonic()
        trained.run().history.write(path)
        assert time.monotonic() - start < 1
    assert f"tracking.live: MLflow at '{uri}' has not all epochs yet; `track` writes them: " in caplog.text
    assert ("refused" if server == "lost" else "no answer in time") in caplog.text


def test_an_error_of_the_training_stays_its_error_and_a_process_that_was_killed_does_no_harm(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    processes: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: processes.append(popen(*a, **k)) or processes[-1])
    tracking = TrackingConfig(uri="http://127.0.0.1:9", live=True)
    with pytest.raises(RuntimeError, match="of the training"), live.beside(
        tmp_path / "history.jsonl", tracking=tracking, run="test", config=CONFIG
    ):  # fmt: skip
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        raise RuntimeError("of the training")
    assert "tracking.live" in caplog.text


def test_live_curves_need_a_server() -> None:
    files = {"background": "b.root", "signal": "s.root"}
    with pytest.raises(ConfigError, match=r"tracking: live: the store 'sqlite:///results/mlflow\.db' is not a server"):
        load(raw_config(files, tracking={"live": True}))
    assert load(raw_config(files, tracking={"live": True, "uri": "http://mlflow.example:5000"})).tracking.live


def test_a_training_does_not_import_mlflow() -> None:
    code = "import sys, cyclotrain.tracking.live; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "scripts", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
