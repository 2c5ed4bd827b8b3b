"""One example at a time in C++: the forms of `deep_sets` for LibTorch against ONNX Runtime, by the classes of the bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.figures import Figure, figure
from benchmarks.model import Exported, singles
from benchmarks.sample import Sample
from benchmarks.training import with_model
from cyclotrain.deploy.bundle import Parts, bundle
from cyclotrain.export.to_aot_inductor import export_aot_inductor
from cyclotrain.export.to_torch import export_torchscript
from cyclotrain.runtimes.instruction_sets import LEVELS, missing
from support.programs import onnxruntime_cpp, run

_PROGRAM = Path(__file__).with_name("batch_1.cpp")


def figures(sample: Sample, folder: Path) -> list[Figure]:
    """Examples per second on one thread, over the real lengths."""
    exported = Exported(with_model(sample.config, "deep_sets"), sample.first(folder), folder / "libtorch")
    level = [level for level in LEVELS if not missing(level)][-1]
    forms = {"onnx": exported.path, "torchscript": folder / "model.pt", f"aot_inductor_{level[-2:]}": folder / "model.pt2"}
    _, script, package = forms.values()
    export_torchscript(exported.trained, script)
    export_aot_inductor(exported.trained, level, package)
    examples = singles(exported)
    (folder / "examples").mkdir()
    _write(examples, folder / "examples/examples.txt")
    bundle(exported.contract, ["cpp"], Parts(forms, folder / "examples", [], []), folder / "bundle")
    answer = run(_compiled(folder), folder / "examples/examples.txt", *forms.values())
    onnx, traced, compiled = map(float, answer.split())
    n, reference = len(examples), "ONNX Runtime in C++; deep_sets, batch 1, 1 thread"
    return [
        figure(name, n / seconds, "examples/s", reference=reference, reference_value=n / onnx)
        for name, seconds in {"aot_vs_onnx_batch1": compiled, "torchscript_vs_onnx_batch1": traced}.items()
    ]


def _write(examples: Sequence[Mapping[str, torch.Tensor]], path: Path) -> None:
    """As the reference vectors, with an answer that nobody reads."""
    lines = []
    for branches in examples:
        values = {branch: np.atleast_1d(column.numpy().ravel()) for branch, column in branches.items()}
        inputs = [f'input "{branch}" {len(x)} {" ".join(map(repr, x.tolist()))}' for branch, x in values.items()]
        lines += ["example", *inputs, "output 1 0"]
    path.write_text("\n".join(lines) + "\n")


def _compiled(folder: Path) -> Path:
    headers, library = onnxruntime_cpp(folder / "onnxruntime")
    libtorch = Path(torch.__file__).parent
    run(
        "g++", "-std=c++17", "-O2", "-I", folder / "bundle/cpp", "-isystem", headers, "-isystem", libtorch / "include",
        "-isystem", libtorch / "include/torch/csrc/api/include", _PROGRAM, f"-L{library}", "-lonnxruntime", f"-L{libtorch}/lib",
        "-Wl,--no-as-needed", "-ltorch", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{library}:{libtorch}/lib", "-o", folder / "batch_1",
    )  # fmt: skip
    return folder / "batch_1"
