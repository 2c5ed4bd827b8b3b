"""What a process with sessions keeps of the memory of a batch."""

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from cyclotrain.runtimes.sessions import CPU, Configuration, RuntimeProcess

GIB = 2**30
AS_DEPLOYED = Configuration(CPU, "enable_all", 1)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A graph with an intermediate tensor of a MiB for each example."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], np.array([1, 2**18]))
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["all"]),
        helper.make_node("ReduceMax", ["all"], ["y"], axes=[1], keepdims=1),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1]) for name in "xy")
    graph = helper.make_graph(nodes, "large", [x], [y], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "large.onnx")
    return tmp_path / "large.onnx"


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is one of the GNU C library")
def test_a_process_of_the_gate_gives_back_the_memory_of_a_large_batch(large: Path) -> None:
    kept = {}
    for keeps_memory in (True, False):
        with RuntimeProcess(sys.executable, large, [AS_DEPLOYED], keeps_memory=keeps_memory) as process:
            for n in (1, 1024):
                process.ask({"x": torch.full((n, 1), 3.0)}, [AS_DEPLOYED])
                assert (process.answers()[AS_DEPLOYED] == 3.0).all()
            status = Path(f"/proc/{process._process.pid}/status").read_text()
            resident = re.search(r"VmRSS:\s+(\d+) kB", status)
            assert resident
            kept[keeps_memory] = int(resident[1]) * 1024
    assert kept[False] < 0.7 * GIB < GIB < kept[True]
