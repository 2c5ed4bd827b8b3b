"""Training, export and the parity gate, on toy jets."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper

from conftest import REPOSITORY, Trained, raw_config, run_training
from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import History
from cyclotrain.core.files import file_sha256
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.expressions.functions import FUNCTIONS as FUNCTION_TABLE
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.networks.registry import load_model
from cyclotrain.runtimes.sessions import open_session


def test_the_exported_model_agrees_and_takes_raw_branches(trained: Trained) -> None:
    result = trained.verify()
    assert result.passed, result.failures
    cases = {case.case: case for case in result.cases}
    n = cases["test split, batch 1"].examples
    assert n == cases["test split, batch 1024"].examples == cases["test split, batch 7"].examples > 700
    assert {f"length {length}" for length in (*range(1, 9), 16)} | {
        "empty sets",
        "nan in pf_pt",
        "-1e30 in jet_pt",
    } <= set(cases)
    session = ort.InferenceSession(trained.onnx, providers=["CPUExecutionProvider"])
    assert {i.name: (i.type, i.shape) for i in session.get_inputs()} == {
        **{f"jet_{name}": ("tensor(float)", ["batch", 1]) for name in ("pt", "eta", "mass", "phi")},
        **{f"pf_{name}": ("tensor(float)", ["batch", "pf"]) for name in ("pt", "eta", "phi", "charge")},
    }
    (output,) = session.get_outputs()
    assert (output.name, output.shape) == ("probabilities", ["batch", 2])


def test_the_file_is_for_the_targets_and_carries_its_provenance(trained: Trained) -> None:
    model = onnx.load(trained.onnx)
    assert (model.ir_version, model.opset_import[0].version) == (8, 18)
    metadata = model_metadata(model)
    assert Contract.from_dict(metadata["contract"]) == trained.contract
    assert {"model", "weights_sha256", "targets", "version", "commit", "software"} <= set(metadata)
    assert str(REPOSITORY).encode() not in trained.onnx.read_bytes()


def test_a_second_training_and_export_give_the_same_bytes(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = Trained(trained.config, trained.contract, trained.shards, tmp_path / "again")
    assert file_sha256(again.onnx) == file_sha256(trained.onnx)
    training, export = [message for message in caplog.messages if message.startswith(("kept the epoch", "model.onnx"))]
    pattern = r"kept the epoch with the lowest validation loss, [\d.]+: epoch \d of 3; [\d,]+ examples/s, \d+ s in all"
    assert re.fullmatch(pattern, training), training
    pattern = r"model\.onnx: opset 18, IR version 8, [\d,]+ bytes, made in \d+\.\d s"
    assert re.fullmatch(pattern, export), export


def test_constituents_beyond_max_length_are_cut_inside_the_graph(trained: Trained) -> None:
    session = ort.InferenceSession(trained.onnx, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    inputs = {i.name: random.uniform(1, 2, (3, 1 if i.shape[1] == 1 else 20)).astype(np.float32) for i in session.get_inputs()}
    cut = {name: value[:, :8] for name, value in inputs.items()}
    np.testing.assert_array_equal(session.run(None, inputs)[0], session.run(None, cut)[0])


def mutate(kind: str, model: onnx.ModelProto) -> None:
    weights = [i for i in model.graph.initializer if "network" in i.name and len(i.dims) == 2]
    if kind == "weight":
        values = numpy_helper.to_array(weights[0]).copy()
        values[0, 0] *= -1
        weights[0].CopyFrom(numpy_helper.from_array(values, weights[0].name))
    elif kind == "swapped inputs":
        for node in model.graph.node:
            swapped = {"pf_eta": "pf_phi", "pf_phi": "pf_eta"}
            for index, name in enumerate(node.input):
                node.input[index] = swapped.get(name, name)
    elif kind == "renamed branch":
        for node in model.graph.node:
            for index, name in enumerate(node.input):
                node.input[index] = "pf_energy" if name == "pf_pt" else name
        next(i for i in model.graph.input if i.name == "pf_pt").name = "pf_energy"
    elif kind == "NaN handling":
        is_finite = [node.output[0] for node in model.graph.node if node.op_type == "LessOrEqual"]
        assert len(is_finite) == 2  # one for each set of features
        for node in model.graph.node:
            if node.op_type == "Where" and node.input[0] in is_finite:
                node.input[2] = node.input[1]  # non-finite values stay


@pytest.mark.parametrize("kind", ["weight", "swapped inputs", "renamed branch", "NaN handling"])
def test_a_wrong_artefact_is_caught(kind: str, trained: Trained, tmp_path: Path) -> None:
    model = onnx.load(trained.onnx)
    mutate(kind, model)
    wrong = tmp_path / "wrong.onnx"
    onnx.save(model, wrong)
    if kind == "renamed branch":
        with pytest.raises(ValueError, match=r"the exported model takes .*pf_energy.* but the contract says"):
            trained.verify(wrong)
        return
    result = trained.verify(wrong)
    assert not result.passed
    evidence = np.load(trained.folder / "evidence.npz")
    failures = [failure.message for failure in result.failures]
    assert str(evidence["case"]) in failures
    session = ort.InferenceSession(wrong, providers=["CPUExecutionProvider"])
    inputs = {name.removeprefix("input:"): evidence[name] for name in evidence if name.startswith("input:")}
    tolerance = 1e-2 if torch.cuda.is_available() else 1e-5  # the worst session may be one with TF32
    np.testing.assert_allclose(session.run(None, inputs)[0], evidence["onnxruntime"], atol=tolerance, equal_nan=True)
    if kind == "NaN handling":
        assert any(message.startswith("nan in pf") for message in failures)


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
    process = multiprocessing.get_context("spawn").Process(target=run_training, args=(contract, config, shards, killed, 0.05))
    process.start()
    history = killed / "history.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (history.exists() and len(history.read_text().splitlines()) == 2):
        time.sleep(0.05)
    time.sleep(0.3)  # into the third epoch
    process.kill()
    process.join()
    assert list(killed.glob("ck/*/last.ckpt")) and not (killed / "weights.pt").exists()
    started = time.time()
    resumed = run_training(contract, config, shards, killed)
    assert file_sha256(resumed) == file_sha256(whole)
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[1]["time"] < started < lines[2]["time"]
    assert not list(killed.glob("ck/*"))


def test_a_killed_training_resumes_after_its_last_epoch_although_an_earlier_one_was_better(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    training = {"epochs": 6, "patience": 6, "batch_size": 64, "learning_rate": 1.0}  # too large: the loss jumps about
    config, contract, shards = ingest(raw_config(toy_files, training=training))
    killed = tmp_path / "killed"
    process = multiprocessing.get_context("spawn").Process(target=run_training, args=(contract, config, shards, killed, 0.02))
    process.start()
    history = killed / "history.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        history.exists()
        and (epochs := History.read(history).epochs)
        and epochs[-1].validation_loss > epochs[-2:][0].validation_loss
    ):
        time.sleep(0.02)
    time.sleep(0.2)  # the checkpoint follows the history, and the next epoch takes half a second
    process.kill()
    process.join()
    done = History.read(history)
    assert done.kept.epoch < len(done.epochs)
    (checkpoint,) = killed.glob("ck/*/last.ckpt")
    assert torch.load(checkpoint, weights_only=False)["epoch"] + 1 == len(done.epochs)


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="no second file system to put temporary files on")
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


class OneLayer(torch.nn.Module):
    """A user's network: one layer on the features of the jet and the mean over its constituents."""

    def __init__(self, sets: Any, n_classes: int, scale: float) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(sum(shape.n_features for shape in sets.values()), n_classes)
        self.scale = scale

    def forward(self, features: Any, masks: Any) -> torch.Tensor:
        count = masks["pf"].sum(1, keepdim=True).clamp(min=1)
        return self.scale * self.layer(torch.cat([features["jet"], features["pf"].sum(1) / count], dim=-1))


def test_a_network_of_the_user_is_trained_and_exported(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    model = {"name": f"{__name__}:OneLayer", "options": {"scale": 2.0}}
    trained = Trained(*ingest(raw_config(toy_files, model=model)), tmp_path / "trained")
    assert trained.verify().passed


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nowhere.module:Net", {}, "'nowhere.module:Net' cannot be imported: No module named 'nowhere'"),
        ("torch.nn:Lineer", {}, "cannot be imported"),
        ("math:sin", {}, "is not a torch.nn.Module"),
        ("deep_sets", {"widht": 3}, "'deep_sets' does not take these options: .*'widht'"),
    ],
)
def test_a_network_that_cannot_be_built_is_named(
    name: str, options: dict[str, Any], message: str, ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    config, contract, shards = ingest(raw_config(toy_files, model={"name": name, "options": options}))
    with pytest.raises(ValueError, match=message):
        run_training(contract, config, shards, tmp_path / "run")


FUNCTIONS = [
    "log1p(pf_pt)", "atan2(pf_eta, pf_phi)", "clip(pf_eta, -1, 1)", "min(pf_eta, pf_phi)", "max(pf_eta, jet_eta)",
    "sqrt(pf_eta)", "exp(pf_pt)", "tan(pf_phi)", "sin(pf_phi)", "cos(pf_phi)", "sinh(pf_eta)", "cosh(pf_eta)", "tanh(pf_eta)",
    "floor(pf_pt)", "log(pf_pt)", "log10(pf_pt)", "isnan(pf_pt)", "pf_eta ** 2", "pi * pf_eta",
    "where(pf_charge != 0, pf_eta, -9)",
    "px(pf_pt, pf_phi)", "py(pf_pt, pf_phi)", "pz(pf_pt, pf_eta)", "energy(pf_pt, pf_eta, 0.14)", "pt(pf_eta, pf_phi)",
    "eta(px(pf_pt, pf_phi), py(pf_pt, pf_phi), pf_eta)", "phi(pf_eta, pf_phi)", "mass(pf_phi, pf_eta, 1, 2 * pf_pt)",
    "invariant_mass(pf_pt, pf_eta, pf_phi, 0.14, jet_pt, jet_eta, jet_phi, jet_mass)",
    "1 / (1 + delta_r(pf_eta, pf_phi, jet_eta, jet_phi))", "pf_eta / pt(pf_pt, pf_phi)", "eta(pf_pt, pf_phi, pf_eta)",
    "delta_phi(pf_phi, jet_phi)", "delta_r(pf_eta, pf_phi, jet_eta, jet_phi)", "abs(pf_eta) + (0 < pf_eta < 1)",
]  # fmt: skip


def test_every_function_of_the_language_survives_the_export(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    in_graph = {name for name, function in FUNCTION_TABLE.items() if not function.lists}
    assert in_graph <= {name for text in FUNCTIONS for name in re.findall(r"\w+(?=\()", text)}
    raw = raw_config(toy_files)
    raw["inputs"] = {"pf": {"max_length": 8, "valid": "pf_pt > 0", "features": FUNCTIONS}}
    raw["baseline"] = {"features": ["jet_pt"]}
    raw["training"]["epochs"] = 1
    result = Trained(*ingest(raw), tmp_path / "trained").verify()
    assert result.passed, result.failures


def test_constituents_are_sorted_inside_the_graph(trained_to_sort: Trained) -> None:
    """In any order, and with padding in between, the answer is the same as for the sorted list."""
    trained = trained_to_sort
    assert trained.verify().passed
    train_split = read_split(trained.shards, trained.contract, "train")
    values, offsets = train_split.sets["pf"]
    eta = np.abs(values[:, trained.contract.layout.sets["pf"].branches.index("pf_eta")])
    starts = np.zeros(len(eta), np.bool_)
    starts[offsets[:-1][np.diff(offsets) > 0]] = True
    assert (np.diff(eta)[~starts[1:]] <= 0).all()
    session = open_session(trained.onnx, threads=1)
    inputs = {i.name: np.full((1, 6 if i.name.startswith("pf") else 1), 1.0, np.float32) for i in session.get_inputs()}
    inputs["pf_eta"] = np.array([[0.3, -0.5, 0.1, 0.0, 0.9, -0.2]], np.float32)
    inputs["pf_pt"] = np.array([[4, 9, 3, 0, 7, 2]], np.float32)  # the fourth is padding
    order = [4, 1, 0, 5, 2, 3]
    in_order = {b: v[:, order] if v.shape[1] > 1 else v for b, v in inputs.items()}
    cut = {b: v[:, :4] if v.shape[1] > 1 else v for b, v in in_order.items()}
    answers = [session.run(None, branches)[0] for branches in (inputs, in_order, cut)]
    np.testing.assert_allclose(answers[1:], [answers[0]] * 2, atol=1e-6)


def test_features_stay_as_they_are_without_standardisation(ingest: Any, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files)
    raw["inputs"]["jet"] |= {"standardise": False, "clip": 3.0}
    _, contract, shards = ingest(raw)
    batch = next(iter(Batches(read_split(shards, contract, "train"), contract.layout, 64)))
    features = FeatureLayer(contract.layout)(batch.branches)[0]["jet"]
    np.testing.assert_allclose(features[:, 0], np.minimum(np.log(batch.branches["jet_pt"][:, 0].numpy()), 3.0), rtol=1e-6)


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
