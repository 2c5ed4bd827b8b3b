"""The exported model: its inputs and outputs, its metadata, and what its graph does."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from cyclotrain.contract import Contract, Layout, Set
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.core.files import file_sha256
from cyclotrain.data.shards import read_split
from cyclotrain.export.to_onnx import branches_to_onnx
from cyclotrain.expressions.functions import FUNCTIONS as FUNCTION_TABLE
from cyclotrain.networks.deep_sets import DeepSets
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.networks.registry import run_network
from cyclotrain.networks.shapes import SetShape
from cyclotrain.runtimes.sessions import open_session
from support import REPOSITORY
from support.toys import raw_config
from support.trained import Trained


def test_the_exported_model_agrees_and_takes_raw_branches(trained: Trained) -> None:
    result = trained.verify()
    assert result.passed, result.failures
    cases = {case.case: case for case in result.cases}
    n = cases["test split, batch 1024"].examples
    assert n > 700 and f"test split, {n}, batch 1" in cases
    assert {f"test split, {min(n, most)}, batch {size}, all sessions" for size, most in ((1, 500), (1024, 2048))} <= set(cases)
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


def exported_and_eager(layout: Layout) -> tuple[onnx.ModelProto, float]:
    """An untrained network for this layout as ONNX, and the largest difference to PyTorch over some examples."""
    torch.manual_seed(0)
    shapes = {name: SetShape(len(features.features), features.is_jagged) for name, features in layout.sets.items()}
    features, network = (
        FeatureLayer(layout),
        DeepSets(shapes, 3, phi=[100, 128], rho=[100], dropout=0, normalise=False, residual=False),
    )
    module = torch.nn.Module()
    module.features, module.network = features, network
    module.forward = lambda branches: torch.softmax(run_network(network, features(branches)), dim=-1)  # type: ignore[method-assign]
    proto = branches_to_onnx(module.eval(), layout, outputs=["probabilities"], opset=18, ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    branches = {branch: torch.rand(40, 9 if name else 1) for branch, name in layout.inputs.items()}
    answer = session.run(None, {branch: value.numpy() for branch, value in branches.items()})[0]
    return proto, float(np.abs(answer - module(branches).detach().numpy()).max())


def layout_of(scalar: str, jagged: str, *, set_name: str = "pf") -> Layout:
    jagged_features = (f"log(`{jagged}`)", f"`{jagged}` / `{scalar}`")
    one, two = (0.0,), (0.0, 0.0)
    pf = Set(jagged_features, (jagged,), 6, f"`{jagged}` > 0", 10.0, mean=two, std=(1.0, 1.0))
    flat = Set((f"`{scalar}`",), (), None, None, 10.0, mean=one, std=(1.0,))
    return Layout((scalar,), {set_name: pf, "flat": flat}, ())


def test_a_branch_may_have_the_name_of_any_value_inside_the_graph() -> None:
    proto, difference = exported_and_eager(layout_of("jet_pt", "pf_pt"))
    assert difference < 1e-6
    inside = [*(tensor.name for tensor in proto.graph.initializer), *(node.output[0] for node in proto.graph.node)]
    assert {"log", "cat", "relu"} <= set(inside)
    for scalar, jagged in (("log", "cat"), (inside[0], "relu")):  # the first is a weight
        proto, difference = exported_and_eager(layout_of(scalar, jagged))
        assert [value.name for value in proto.graph.input] == [scalar, jagged]
        assert difference < 1e-6, (scalar, jagged)


@pytest.mark.parametrize("name", ["forward", "type", "training", "x"])
def test_a_set_may_have_the_name_of_a_method_of_a_module(name: str) -> None:
    proto, difference = exported_and_eager(layout_of("x", "forward", set_name=name))
    assert difference < 1e-6
    assert proto.graph.input[1].type.tensor_type.shape.dim[1].dim_param == name


FUNCTIONS = [
    "log1p(pf_pt)", "atan2(pf_eta, pf_phi)", "clip(pf_eta, -1, 1)", "min(pf_eta, pf_phi)", "max(pf_eta, jet_eta)",
    "sqrt(pf_eta)", "exp(pf_pt)", "tan(pf_phi)", "sin(pf_phi)", "cos(pf_phi)", "sinh(pf_eta)", "cosh(pf_eta)", "tanh(pf_eta)",
    "floor(pf_pt)", "pf_pt % 3", "log(pf_pt)", "log10(pf_pt)", "isnan(pf_pt)", "pf_eta ** 2", "pi * pf_eta",
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
