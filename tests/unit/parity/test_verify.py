"""A wrong artefact does not pass."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper

from cyclotrain.config import ModelConfig
from cyclotrain.contract.results import MODEL
from cyclotrain.networks.registry import Model, SavedWeights
from cyclotrain.networks.source import network_source
from cyclotrain.parity.artefacts import Artefact
from cyclotrain.parity.cases import References
from cyclotrain.runtimes.sessions import RuntimeProcess
from support.trained import Trained


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

    elif kind == "NaN as zero":
        for node in model.graph.node:
            if node.op_type == "Where" and any("mean" in name for name in node.input):
                node.input[2] = zeros(model)


def zeros(model: onnx.ModelProto) -> str:
    """The name of a zero in the graph."""
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "planted_zero"))
    return "planted_zero"


@pytest.mark.parametrize("kind", ["weight", "swapped inputs", "renamed branch", "NaN handling", "NaN as zero"])
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
    if kind.startswith("NaN"):
        assert any(message.startswith("nan in pf") for message in failures)


def with_network(network: str, trained: Trained, folder: Path) -> Trained:
    """Another network, trained on the same toys."""
    config = trained.config.model_copy(update={"model": ModelConfig(name=f"support.networks:{network}")})
    return Trained(config, trained.contract, trained.shards, folder)


@pytest.fixture(scope="module")
def nearest(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return with_network("NearestInEta", trained, tmp_path_factory.mktemp("nearest"))


def test_right_answers_may_differ_where_neighbours_are_equally_near(nearest: Trained, trained: Trained) -> None:
    result = nearest.verify()
    assert result.passed, result.failures
    assert 0 < result.undefined < 0.15 * result.hostile_examples
    assert not any(case.undefined for case in result.cases if not case.hostile)
    assert trained.verify().undefined == 0


def test_a_graph_that_replaces_nan_by_0_is_caught_in_every_session_despite_ties(nearest: Trained, tmp_path: Path) -> None:
    model = onnx.load(nearest.onnx)
    mutate("NaN as zero", model)
    onnx.save(model, tmp_path / "wrong.onnx")
    result = nearest.verify(tmp_path / "wrong.onnx")
    assert all(session.cases_failed for session in result.sessions(MODEL))
    assert any(failure.message.startswith("nan in pf_eta") for failure in result.failures)


def test_a_network_that_answers_in_float32_has_no_answers_in_float64(trained: Trained, tmp_path: Path) -> None:
    model = ModelConfig(name="support.networks:AnswersInSingle")
    untrained = Model(trained.contract, model.name, model.options)
    SavedWeights(untrained.state_dict(), network_source(model.name), trained.contract).write(tmp_path / "weights.pt")
    references = References(trained.contract, model, tmp_path / "weights.pt")
    branches = {branch: torch.rand(4, 8 if name else 1) for branch, name in trained.contract.layout.inputs.items()}
    assert references.answers(branches).double is None
    assert references.no_double == "the network answers in float32"


def test_a_network_that_works_in_float32_only_is_verified(trained: Trained, tmp_path: Path) -> None:
    result = with_network("OnlySingle", trained, tmp_path / "single").verify()
    assert result.passed, result.failures
    assert result.max_abs_float64 is None and result.no_float64 and result.no_float64.startswith("RuntimeError: ")
    assert all(row.max_abs_float64 is None for row in result.matrix)


def test_as_many_runtimes_as_threads_work_at_once(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes the memory of its largest batch."""
    working: set[int] = set()
    most = 0
    ask, answers = RuntimeProcess.ask, RuntimeProcess.answers

    def asked(process: RuntimeProcess, *arguments: Any) -> None:
        nonlocal most
        working.add(id(process))
        most = max(most, len(working))
        ask(process, *arguments)

    def answered(process: RuntimeProcess) -> Any:
        working.discard(id(process))
        return answers(process)

    monkeypatch.setattr(RuntimeProcess, "ask", asked)
    monkeypatch.setattr(RuntimeProcess, "answers", answered)
    others = [Artefact(name, str(trained.onnx), 1e-5) for name in ("second", "third", "fourth")]
    assert trained.verify(others=others).passed
    assert most == 2
