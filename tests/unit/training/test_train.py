"""Training: which epoch is kept, how one goes on after a kill, and what it refuses."""

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cyclotrain.config import TrainingConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import OUTSIDE_NOTE, History
from cyclotrain.core.files import file_sha256
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.networks.registry import Model, load_model
from cyclotrain.training.step import WeightedTraining
from support import REPOSITORY
from support.toys import raw_config
from support.trained import Trained, run_training


def test_the_best_epoch_is_used_and_training_stops_early(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    training = {"epochs": 60, "patience": 3, "batch_size": 64, "learning_rate": 0.03}
    config, contract, shards = ingest(raw_config(toy_files, training=training))
    weights = run_training(contract, config, shards, tmp_path / "trained")
    history = [json.loads(line) for line in weights.with_name("history.jsonl").read_text().splitlines()]
    losses = [line["validation_loss"] for line in history]
    assert len(history) < 60
    assert int(np.argmin(losses)) == len(losses) - 1 - 3
    assert _validation_loss(contract, config, shards, weights) == pytest.approx(min(losses), rel=1e-5)


def _validation_loss(contract: Contract, config: Any, shards: list[str], weights: Path) -> float:
    model = load_model(contract, config.model, weights)
    examples = read_split(shards, contract, "validation")
    (batch,) = Batches(examples, contract.layout, len(examples))
    weight = batch.weight * torch.tensor(contract.class_weights)[batch.label]
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model(batch.branches), batch.label, reduction="none")
    return float((loss * weight).sum() / weight.sum())


def test_a_killed_training_resumes_and_ends_with_the_same_weights(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    training = {"epochs": 4, "batch_size": 128}
    model = {"name": "deep_sets", "options": {"phi": [16], "rho": [16], "dropout": 0.2}}
    config, contract, shards = ingest(raw_config(toy_files, training=training, model=model))
    whole = run_training(contract, config, shards, tmp_path / "whole")
    killed = tmp_path / "killed"

    def is_into_a_later_epoch(checkpoint: Path) -> bool:
        return len(_saved(checkpoint).epochs) >= 2 and time.time() - checkpoint.stat().st_mtime > 0.2

    done = len(_killed_when(is_into_a_later_epoch, contract, config, shards, killed, 0.05).epochs)
    assert done < 4 and not (killed / "weights.pt").exists()
    started = time.time()
    resumed = run_training(contract, config, shards, killed)
    assert file_sha256(resumed) == file_sha256(whole)
    lines = [json.loads(line) for line in (killed / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[done - 1]["time"] < started < lines[done]["time"]
    assert not list(killed.glob("ck/*"))


def test_a_killed_training_resumes_after_its_last_epoch_although_an_earlier_one_was_better(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    training = {"epochs": 6, "patience": 6, "batch_size": 64, "learning_rate": 1.0}  # too large: the loss jumps about
    config, contract, shards = ingest(raw_config(toy_files, training=training))
    killed = tmp_path / "killed"

    def is_worse_than_before(checkpoint: Path) -> bool:
        saved = _saved(checkpoint)
        return saved.kept.epoch < len(saved.epochs)

    saved = _killed_when(is_worse_than_before, contract, config, shards, killed, 0.02)
    assert saved.kept.epoch < len(saved.epochs)
    resumed = run_training(contract, config, shards, killed)
    assert History.read(resumed.with_name("history.jsonl")).epochs[: len(saved.epochs)] == saved.epochs


def _killed_when(
    condition: Callable[[Path], bool], contract: Contract, config: Any, shards: list[str], folder: Path, delay: float
) -> History:
    """Train until the checkpoint meets the condition, then kill the training, which stands still whenever it is looked at.

    Returns the epochs that the checkpoint holds.
    """
    arguments = (contract, config, shards, folder, delay)
    process = multiprocessing.get_context("spawn").Process(target=run_training, args=arguments)
    process.start()
    assert process.pid
    checkpoints: list[Path] = []
    try:
        while process.is_alive():
            os.kill(process.pid, signal.SIGSTOP)
            checkpoints = list(folder.glob("ck/*/last.ckpt"))
            if checkpoints and condition(checkpoints[0]):
                break
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.02)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL, "the training ended before the condition was met"
    return _saved(checkpoints[0])


def _saved(checkpoint: Path) -> History:
    return History(epochs=torch.load(checkpoint, weights_only=True)["callbacks"]["HistoryOfEpochs"]["epochs"])


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="no second file system to put temporary files on")
def test_an_area_that_negative_weights_take_above_1_is_marked_in_the_log_and_explained_once(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The hard signal has weights of 1, the soft signal weights of -1."""
    signs = "where((isSignal == 0) | (jet_mass > 110), 1, -1)"
    training = {"epochs": 8, "batch_size": 128, "learning_rate": 0.01}
    config, contract, shards = ingest(raw_config(toy_files, training=training, weight=signs))
    run_training(contract, config, shards, tmp_path / "trained")
    epochs = History.read(tmp_path / "trained/history.jsonl").epochs
    lines = [record.getMessage() for record in caplog.records if "AUC" in record.getMessage()]
    assert lines.count(OUTSIDE_NOTE) == 1
    lines.remove(OUTSIDE_NOTE)
    marked = [f"AUC {epoch.validation_auc:.4f}†" in line for epoch, line in zip(epochs, lines, strict=True)]
    assert marked == [epoch.validation_auc > 1 for epoch in epochs] and any(marked)


def test_a_checkpoint_is_never_open_for_writing_under_its_own_name(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, contract, shards = ingest(raw_config(toy_files))
    # as on a cluster, where /tmp is on another disk than the results, so a move is a copy
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    opened: list[str] = []
    is_recording = True

    def record(event: str, arguments: Any) -> None:
        if is_recording and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            opened.append(str(arguments[0]))

    sys.addaudithook(record)
    run_training(contract, config, shards, tmp_path / "run")
    is_recording = False
    written = [path for path in opened if "/ck/" in path]
    assert written and all(path.endswith(".part") for path in written)


def test_a_checkpoint_of_other_settings_is_not_used(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = ingest(raw_config(toy_files))
    other = tmp_path / "run" / "ck" / "0123456789abcdef"
    other.mkdir(parents=True)
    (other / "last.ckpt").write_text("not of this training")
    assert run_training(contract, config, shards, tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_asking_for_a_gpu_where_there_is_none_fails(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = ingest(raw_config(toy_files, training={"accelerator": "gpu"}))
    with pytest.raises(RuntimeError, match=r"training.accelerator is 'gpu' and training.devices is 1, but PyTorch finds no GPU"):
        run_training(contract, config, shards, tmp_path / "run")


def test_the_log_of_a_rule_has_no_advertisements_of_lightning(tmp_path: Path) -> None:
    code = """
import logging, sys, cyclotrain.training.train
from cyclotrain.core.logs import SHOW, rule
with rule(sys.argv[1]):
    logging.getLogger("lightning.pytorch.utilities.rank_zero").info("Tip")
    logging.getLogger("cyclotrain.training.train").info("epoch", extra=SHOW)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "train.log")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
    process = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "epoch" in process.stderr and "Tip" not in process.stderr + process.stdout


def test_ctrl_c_in_a_training_is_an_interrupt_and_the_next_try_resumes(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    config, contract, shards = ingest(raw_config(toy_files, training={"epochs": 4, "batch_size": 128}))
    main = threading.main_thread().ident
    assert main
    history = tmp_path / "out/history.jsonl"

    def press() -> None:
        while not (history.exists() and len(history.read_text().splitlines()) >= 2):
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=press).start()
    step = WeightedTraining.training_step
    with pytest.raises(KeyboardInterrupt):
        run_training(contract, config, shards, tmp_path / "out", delay=0.05)
    WeightedTraining.training_step = step  # type: ignore[method-assign]
    assert list((tmp_path / "out").glob("ck/*/last.ckpt"))
    run_training(contract, config, shards, tmp_path / "out")
    assert len(History.read(history).epochs) == 4


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_training_that_stopped_early_and_was_killed_ends_with_the_same_weights(
    is_moved: bool, ingest: Any, toy_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its weights were written; also if its folder is somewhere else when it resumes."""
    training = {"epochs": 30, "patience": 1, "batch_size": 64, "learning_rate": 0.3}
    config, contract, shards = ingest(raw_config(toy_files, training=training))
    whole = run_training(contract, config, shards, tmp_path / "whole")
    history = History.read(tmp_path / "whole/history.jsonl")
    assert history.kept.epoch < len(history.epochs) < 30
    save = torch.save

    def full_disk(state: Any, file: Any) -> None:
        if "weights.pt" in str(getattr(file, "name", "")):
            raise OSError("No space left on device")
        save(state, file)

    killed = tmp_path / "killed"
    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run_training(contract, config, shards, killed)
    monkeypatch.setattr(torch, "save", save)
    assert list(killed.glob("ck/*/last.ckpt"))
    if is_moved:
        killed = killed.rename(tmp_path / "moved")
    assert file_sha256(run_training(contract, config, shards, killed)) == file_sha256(whole)


def test_a_quantity_that_no_validation_example_has_gives_no_validation_loss(
    toy_files: dict[str, str], ingest: Any, tmp_path: Path
) -> None:
    raw = raw_config(toy_files, training={"epochs": 1})
    raw["samples"]["calibration"] = {**raw["samples"]["signal"], "files": [toy_files["signal"]], "split": "train"}
    raw["regression"] = {"mass": {"target": "jet_mass", "samples": ["calibration"]}, "pt": {"target": "jet_pt"}}
    config, contract, shards = ingest(raw)
    run_training(contract, config, shards, tmp_path / "out")
    (epoch,) = History.read(tmp_path / "out/history.jsonl").epochs
    assert set(epoch.validation_losses) == {"probabilities", "pt"} and math.isfinite(epoch.validation_loss)


@pytest.mark.parametrize("steps", [*range(1, 31), 100])
def test_the_learning_rate_rises_and_falls_in_any_number_of_steps(steps: int, trained: Trained) -> None:
    network = Model(trained.contract, "deep_sets", trained.config.model.options)
    training = TrainingConfig(learning_rate=0.01)
    configured = WeightedTraining(network, trained.contract, training=training, steps=steps).configure_optimizers()
    if steps < 3:
        assert isinstance(configured, torch.optim.Optimizer)
        return
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step() if len(rates) < steps else None
    # the peak may lie between two steps
    assert max(rates) == pytest.approx(0.01, rel=0.01) and rates[0] < 0.01 and rates[-1] < 0.001
