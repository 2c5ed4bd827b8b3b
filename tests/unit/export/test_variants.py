"""Variants of the exported model: each goes through its own gates."""

from collections import Counter
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from cyclotrain.config import VARIANT_KINDS, VariantKind
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import MODEL
from cyclotrain.core.files import file_sha256
from cyclotrain.export.variants import make_variant
from cyclotrain.gates.judge import judge
from cyclotrain.parity.artefacts import Artefact
from support.trained import Trained

TOLERANCES = {"fp16": 2e-3, "int8_dynamic": 0.05, "int8_static": 0.05}


@pytest.fixture(scope="module")
def variants(trained: Trained) -> dict[VariantKind, Path]:
    paths = {kind: trained.folder / f"{kind}.onnx" for kind in VARIANT_KINDS}
    for kind, path in paths.items():
        make_variant(kind, trained.model, exported=trained.onnx, shards=trained.shards, path=path)
    return paths


def test_each_agrees_within_its_tolerance(trained: Trained, variants: dict[VariantKind, Path]) -> None:
    others = [Artefact(kind, str(path), TOLERANCES[kind], hostile_tolerance=1.0) for kind, path in variants.items()]
    result = trained.verify(others=others)
    assert result.passed, result.failures
    differences = {row.artefact: row.max_abs for row in result.matrix}
    assert 1e-6 < differences["fp16"] < differences["int8_dynamic"]


def test_each_has_the_operators_of_its_kind(trained: Trained, variants: dict[VariantKind, Path]) -> None:
    models = {kind: onnx.load(path) for kind, path in variants.items()}
    original = onnx.load(trained.onnx)
    for kind, model in models.items():
        assert [i.name for i in model.graph.input] == [i.name for i in original.graph.input]
        assert (model.ir_version, model.opset_import[0].version) == (original.ir_version, original.opset_import[0].version)
        metadata = model_metadata(model)
        assert metadata["contract"] == model_metadata(original)["contract"]
        assert (metadata["variant"], metadata["variant_of"]) == (kind, file_sha256(trained.onnx))
    operators = {kind: Counter(node.op_type for node in model.graph.node) for kind, model in models.items()}
    products = Counter(node.op_type for node in original.graph.node)
    n = products["MatMul"] + products["Gemm"]
    assert operators["int8_dynamic"]["MatMulInteger"] == n
    assert operators["int8_static"]["QuantizeLinear"] >= n
    half = [i.name for i in models["fp16"].graph.initializer if i.data_type == onnx.TensorProto.FLOAT16]
    assert len(half) >= 2 * n  # weights and biases


def test_a_variant_off_its_tolerance_fails_the_gate(trained: Trained, variants: dict[VariantKind, Path]) -> None:
    result = trained.verify(others=[Artefact("int8_dynamic", str(variants["int8_dynamic"]), 1e-4, hostile_tolerance=1.0)])
    assert not result.passed
    assert all(f.artefact == "int8_dynamic" and "in pf" not in f.message for f in result.failures)


def test_a_variant_that_a_runtime_does_not_load_fails_the_gate(trained: Trained, tmp_path: Path) -> None:
    model = onnx.load(trained.onnx)
    model.ir_version = 99
    onnx.save(model, tmp_path / "new.onnx")
    result = trained.verify(others=[Artefact("fp16", str(tmp_path / "new.onnx"), 1e-3)])
    assert not result.passed
    message = result.failures[0].message
    assert message.startswith("fp16: ONNX Runtime in ") and "99" in message


def test_a_variant_that_loses_rejection_fails_its_gate(
    trained: Trained, variants: dict[VariantKind, Path], tmp_path: Path
) -> None:
    model = onnx.load(trained.onnx)
    (head,) = [i for i in model.graph.initializer if i.name.endswith("out.weight")]
    head.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(head), head.name))
    onnx.save(model, tmp_path / "worse.onnx")
    evaluation, _ = trained.evaluate(fp16=variants["fp16"], int8_static=tmp_path / "worse.onnx")
    assert set(evaluation.performance) >= {MODEL, "fp16", "int8_static"}
    assert abs(evaluation.rejection_loss["fp16"]) < 0.05 < evaluation.rejection_loss["int8_static"]
    limits = {"fp16": 0.05, "int8_static": 0.05}
    gates = judge(trained.verify(), evaluation.figures(), bounds={}, rejection_losses=limits)
    assert [gate.name for gate in gates.failed] == ["rejection_loss.int8_static"]
    assert "required <= 0.05; the limit is export.variants.int8_static.rejection_loss" in str(gates.failed[0])


def test_its_gains_are_measured(trained: Trained, variants: dict[VariantKind, Path]) -> None:
    gain = trained.time(int8_dynamic=variants["int8_dynamic"]).variants["int8_dynamic"].gain.model_dump()
    assert set(gain) == {"batch_1_latency", "batch_1024_rate", "cold_start", "size"}
    assert all(value > 0 for value in gain.values())
