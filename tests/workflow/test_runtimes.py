"""The exported model in other ONNX Runtime releases, each in an environment of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import raw_config, skim_and_assemble, toys
from cyclotrain.batches import Batches
from cyclotrain.dataset import read_split
from cyclotrain.export import export
from cyclotrain.models import Probabilities
from cyclotrain.train import load_model, train

pytestmark = pytest.mark.runtimes

RUN = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
inputs = np.load(sys.argv[2])
np.save(sys.argv[3], session.run(None, {name: inputs[name] for name in inputs})[0])
print(json.dumps([onnxruntime.__version__, np.__version__]))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, the test split as inputs.npz, and PyTorch's answers."""
    folder = tmp_path_factory.mktemp("exported")
    config, contract, shards = skim_and_assemble(raw_config(toys(folder)), folder)
    train(
        contract,
        shards,
        config.model,
        config.training,
        1,
        folder / "weights.pt",
        folder / "history.jsonl",
        folder / "ck",
    )
    export(contract, config.model, folder / "weights.pt", config.export.targets, folder / "model.onnx")
    test = read_split(shards, contract.layout, "test")
    (batch,) = Batches(test, contract.layout, len(test))
    np.savez(folder / "inputs.npz", **{name: value.numpy() for name, value in batch.branches.items()})
    with torch.inference_mode():
        np.save(
            folder / "expected.npy",
            Probabilities(load_model(contract, config.model, folder / "weights.pt"))(batch.branches),
        )
    return folder


@pytest.mark.parametrize(("onnxruntime", "numpy"), [("1.17.1", "numpy<2"), ("1.20.1", "numpy<2.3"), ("1.32.0", "numpy")])
def test_a_release_loads_the_model_and_agrees(onnxruntime: str, numpy: str, exported: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", f"onnxruntime=={onnxruntime}", numpy], check=True)
    answer = tmp_path / "answer.npy"
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, "-c", RUN, exported / "model.onnx", exported / "inputs.npz", answer]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=clean)
    assert json.loads(done.stdout)[0] == onnxruntime
    expected = np.load(exported / "expected.npy")
    assert len(expected) > 700
    assert np.abs(np.load(answer) - expected).max() <= 1e-5
