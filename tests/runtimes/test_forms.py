"""Every form of every network against PyTorch, for random numbers of examples and constituents."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import METADATA_PREFIX
from cyclotrain.export.to_aot_inductor import compile_program, model_to_program
from cyclotrain.export.to_onnx import model_to_onnx
from cyclotrain.export.to_torch import archive, model_to_torchscript
from cyclotrain.networks.registry import Outputs
from cyclotrain.runtimes.instruction_sets import LEVELS
from cyclotrain.runtimes.worker import side_by_side
from support.trained import NETWORKS, untrained

pytestmark = pytest.mark.runtimes
_SHAPES = 500
_TARGETS = ["CMSSW_13_3_X", "CMSSW_15_0_X"]
Form = Callable[[Sequence[Tensor]], Any]


def forms(contract: Contract, outputs: Outputs, folder: Path) -> dict[str, Form]:
    """The forms of a model, each as a function of branches by position."""
    session = ort.InferenceSession(model_to_onnx(outputs.model, contract, _TARGETS).SerializeToString())
    names = list(contract.layout.inputs)

    def onnx(values: Sequence[Tensor]) -> Any:
        return side_by_side(session.run(None, dict(zip(names, (value.numpy() for value in values), strict=True))))

    (folder / "model.pt").write_bytes(archive(model_to_torchscript(outputs, contract), {}))
    script = torch.jit.freeze(torch.jit.load(folder / "model.pt").eval())
    by_name: dict[str, Form] = {"onnx": onnx, "torchscript": lambda values: script(*values).numpy()}
    program = model_to_program(outputs, contract)
    for level in LEVELS:
        compile_program(program, level, {METADATA_PREFIX + "contract": ""}, folder / f"{level}.pt2")
        loader = torch._C._aoti.AOTIModelPackageLoader(str(folder / f"{level}.pt2"), "model", False, 1, -1)
        by_name[level] = lambda values, loader=loader: loader.boxed_run(list(values))[0].numpy()
    return by_name


@pytest.mark.parametrize("network", NETWORKS)
def test_every_form_gives_pytorchs_answers_for_random_shapes(network: str, tmp_path: Path) -> None:
    """Examples 1 to 64 and lengths 0 to 200; an empty set has one slot, as all consumers make it."""
    contract, outputs = untrained(network, tmp_path)
    by_name = forms(contract, outputs, tmp_path)
    random, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    for _ in range(_SHAPES):
        size, longest = int(random.integers(1, 65)), int(random.integers(0, 201))
        slots = max(longest, 1)
        lengths = torch.randint(0, longest + 1, (size, 1), generator=generator)
        there = torch.arange(slots) < lengths
        values = [
            torch.where(there, 3 * torch.rand(size, slots, generator=generator), 0.0) if name else torch.rand(size, 1) + 1
            for name in contract.layout.inputs.values()
        ]
        with torch.inference_mode():
            expected = outputs(dict(zip(contract.layout.inputs, values, strict=True)))[0]
        for name, form in by_name.items():
            np.testing.assert_allclose(form(values), expected, rtol=0, atol=1e-5, err_msg=f"{name}, {size} x {longest}")
