"""Several outputs in the exported file: their names and shapes, and parity of all of them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cyclotrain.contract import Contract
from cyclotrain.contract.results import History
from cyclotrain.export.to_onnx import export_network
from cyclotrain.export.variants import make_variant
from cyclotrain.parity.artefacts import Artefact
from support.trained import Trained


def test_the_graph_has_a_named_output_for_each_quantity(trained_to_regress: Trained, trained_without_classes: Trained) -> None:
    quantities = [("true_mass", ["batch", 1]), ("far", ["batch", 1]), ("ratio", ["batch", 3])]
    for trained, expected in (
        (trained_to_regress, [("probabilities", ["batch", 2]), *quantities]),
        (trained_without_classes, quantities),
    ):
        session = ort.InferenceSession(trained.onnx, providers=["CPUExecutionProvider"])
        assert [(output.name, output.shape) for output in session.get_outputs()] == expected
        listed = trained.contract.to_dict()["outputs"]
        assert [(output["name"], output["shape"]) for output in listed] == expected
        assert ("output" in trained.contract.to_dict()) == bool(trained.contract.classes)
    assert trained_to_regress.contract.columns[-3:] == ("ratio_q16", "ratio_q50", "ratio_q84")


def test_the_contract_is_read_as_it_was_written(trained_to_regress: Trained, tmp_path: Path) -> None:
    trained_to_regress.contract.write(tmp_path / "contract.json")
    assert Contract.read(tmp_path / "contract.json") == trained_to_regress.contract


@pytest.mark.parametrize("fixture", ["trained_to_regress", "trained_without_classes"])
def test_every_output_of_every_file_passes_the_parity_gate(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    trained: Trained = request.getfixturevalue(fixture)
    if trained.contract.classes:
        network, preprocess = tmp_path / "network.onnx", tmp_path / "preprocess.json"
        export_network(trained.model, targets=trained.config.export.targets, path=network, preprocess=preprocess)
        other = Artefact("network", str(network), 1e-5, str(preprocess))
    else:
        half = tmp_path / "fp16.onnx"
        make_variant("fp16", trained.model, exported=trained.onnx, shards=trained.shards, path=half)
        other = Artefact("fp16", str(half), 0.05, hostile_tolerance=1.0)
    verification = trained.verify(others=[other])
    assert verification.passed, verification.failures[:3]
    assert 0 < verification.max_abs < 1e-5


def test_a_wrong_scale_in_the_file_is_found(trained_without_classes: Trained, tmp_path: Path) -> None:
    trained = trained_without_classes
    model, scale = onnx.load(trained.onnx), trained.contract.regression[1].scale
    changed = 0
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and np.isclose(values, scale, rtol=1e-6).any():
            new = np.where(np.isclose(values, scale, rtol=1e-6), values * np.float32(1.001), values)
            tensor.CopyFrom(onnx.numpy_helper.from_array(new.astype(np.float32), tensor.name))
            changed += 1
    assert changed
    onnx.save(model, tmp_path / "changed.onnx")
    assert not trained.verify(tmp_path / "changed.onnx").passed


def test_the_history_has_the_loss_of_each_output(trained_to_regress: Trained, trained: Trained) -> None:
    epoch = History.read(trained_to_regress.folder / "history.jsonl").epochs[-1]
    assert list(epoch.validation_losses) == ["probabilities", "true_mass", "far", "ratio"]
    weights = {"far": 0.5}
    total = sum(loss * weights.get(name, 1) for name, loss in epoch.validation_losses.items() if name != "true_mass")
    # the loss of a quantity counts for the examples that have it, here those of one of two balanced classes
    assert epoch.validation_loss == pytest.approx(total + epoch.validation_losses["true_mass"] / 2, rel=0.05)
    assert History.read(trained.folder / "history.jsonl").epochs[-1].validation_losses == {}
