"""The consumers for basf2 and Athena: compiled against stand-ins of the experiments' classes, run with the real ONNX Runtime."""

import re
from pathlib import Path

import onnx
import pytest

from cyclotrain.config.export import ConsumerName
from support.bundles import deploy, trained_with_odd_names
from support.programs import SANITISERS, run
from support.trained import Trained

pytestmark = pytest.mark.runtimes
STANDINS = Path(__file__).parents[1]
TAKERS: list[ConsumerName] = ["cpp", "basf2", "athena"]  # `cpp` has the reader of the reference vectors


@pytest.fixture(scope="module")
def deployed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy(trained, tmp_path_factory.mktemp("bundle") / "deploy", TAKERS)


@pytest.fixture(scope="module")
def regressing(trained_to_regress: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy(trained_to_regress, tmp_path_factory.mktemp("regressing") / "deploy", TAKERS)


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    return deploy(trained_with_odd_names(folder), folder / "deploy", TAKERS)


def compiled(standin: str, arguments: list[str | Path], onnxruntime_cpp: tuple[Path, Path], program: Path) -> Path:
    headers, library = onnxruntime_cpp
    run(
        "g++", "-std=c++17", "-g", *SANITISERS.split(), "-Wall", "-Wextra", "-Werror", "-I", STANDINS / standin,
        "-isystem", headers, *arguments, STANDINS / standin / "driver.cc",
        f"-L{library}", "-lonnxruntime", f"-Wl,-rpath,{library}", "-o", program,
    )  # fmt: skip
    return program


def of_basf2(deployed: Path, onnxruntime_cpp: tuple[Path, Path], program: Path) -> Path:
    names = ['-DHEADER="CyclotrainTest.h"', "-DMODEL=Belle2::CyclotrainTest"]
    return compiled("basf2_standin", ["-I", deployed / "basf2", "-I", deployed / "cpp", *names], onnxruntime_cpp, program)


def of_athena(deployed: Path, onnxruntime_cpp: tuple[Path, Path], program: Path) -> Path:
    package = deployed / "athena/CyclotrainTest"
    arguments = [
        "-I", package, "-I", deployed / "cpp", '-DHEADER="CyclotrainTest/CyclotrainTestTool.h"', "-DTOOL=CyclotrainTestTool",
        package / "src/CyclotrainTestTool.cxx",
    ]  # fmt: skip
    return compiled("athena_standin", arguments, onnxruntime_cpp, program)


def test_basf2_gives_the_same_numbers(deployed: Path, onnxruntime_cpp: tuple[Path, Path], tmp_path: Path) -> None:
    program = of_basf2(deployed, onnxruntime_cpp, tmp_path / "driver")
    output = run(program, deployed / "model.onnx", deployed / "reference/reference.txt")
    assert re.search(r"3\d\d examples, largest difference \S+ one by one", output)
    for error in ("branch 'jet_pt' has 2 values", "branch 'pf_pt' is missing", "branches of one set have different lengths"):
        assert error in output


def test_athena_gives_the_same_numbers_with_its_own_model_alone(
    deployed: Path, onnxruntime_cpp: tuple[Path, Path], tmp_path: Path
) -> None:
    program = of_athena(deployed, onnxruntime_cpp, tmp_path / "driver")
    vectors = deployed / "reference/reference.txt"
    output = run(program, deployed / "athena/model.onnx", vectors)
    assert re.search(r"3\d\d examples, largest difference \S+ one by one", output)
    for error in ("branch 'jet_pt' has 2 values", "branch 'pf_pt' is missing", "branches of one set have different lengths"):
        assert error in output
    # inputs by position in the order of a map: the model at the top of the bundle gives wrong numbers, and no error
    output = run(program, deployed / "model.onnx", vectors, expected=1)
    assert float(output.split("largest difference ")[1].split()[0]) > 1e-3


@pytest.mark.parametrize("bundle", ["regressing", "oddly_named"])
def test_all_outputs_and_oddly_named_branches_reach_basf2_and_athena(
    bundle: str, request: pytest.FixtureRequest, onnxruntime_cpp: tuple[Path, Path], tmp_path: Path
) -> None:
    deployed = request.getfixturevalue(bundle)
    for compile_it, model in ((of_basf2, "model.onnx"), (of_athena, "athena/model.onnx")):
        program = compile_it(deployed, onnxruntime_cpp, tmp_path / compile_it.__name__)
        assert "examples, largest difference" in run(program, deployed / model, deployed / "reference/reference.txt")


def test_the_model_of_athena_differs_in_the_order_of_its_inputs_and_outputs_alone(regressing: Path) -> None:
    model, own = onnx.load(regressing / "model.onnx"), onnx.load(regressing / "athena/model.onnx")
    names = [value.name for value in own.graph.input]
    assert names == sorted(names, key=str.encode) != [value.name for value in model.graph.input]
    assert [value.name for value in own.graph.output] == sorted(value.name for value in model.graph.output)
    assert list(own.graph.node) == list(model.graph.node)
    readme = (regressing / "athena/README.md").read_text()
    assert ", ".join(f"`{name}`" for name in names) in readme
    compile((regressing / "athena/CyclotrainTest/python/CyclotrainTestConfig.py").read_text(), "Config.py", "exec")


def test_the_readme_says_that_the_ready_made_expert_of_basf2_does_not_take_it(deployed: Path) -> None:
    readme = (deployed / "basf2/README.md").read_text()
    assert re.search(r"`ONNXExpert` does not take this model.*\n?.*this model has\n8 inputs", readme)
