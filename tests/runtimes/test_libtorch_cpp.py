"""The model for LibTorch in C++: `cyclotrain_torch.h` with TorchScript and AOTInductor, and RDataFrame on it."""

import re
import shutil
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from cyclotrain.contract.results import AOT_INDUCTOR
from cyclotrain.export.to_torch import export_torchscript
from support.bundles import deploy, producer_arguments, trained_with_odd_names
from support.programs import SANITISERS, run
from support.trained import Trained

pytestmark = [pytest.mark.runtimes, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]
HERE = Path(__file__).parent
TORCH = Path(torch.__file__).parent
HEADERS = [TORCH / "include", TORCH / "include/torch/csrc/api/include"]
INCLUDES = [part for folder in HEADERS for part in ("-isystem", folder)]
LIBRARIES = [f"-L{TORCH}/lib", "-Wl,--no-as-needed", "-ltorch", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{TORCH}/lib", "-pthread"]
V2, V3 = AOT_INDUCTOR


def deployed_for_libtorch(trained: Trained, folder: Path, compiled: list[str]) -> Path:
    script = folder / "model.pt"
    export_torchscript(trained.model, script)
    forms = {"torchscript": script, **{name: trained.compiled(name) for name in compiled}}
    return deploy(trained, folder / "deploy", ["cpp", "rdataframe", "cmssw_pytorch", "cmssw_alpaka"], **forms)


@pytest.fixture(scope="module")
def deployed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployed_for_libtorch(trained, tmp_path_factory.mktemp("libtorch"), [V2, V3])


@pytest.fixture(scope="module")
def regressing(trained_to_regress: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployed_for_libtorch(trained_to_regress, tmp_path_factory.mktemp("regressing_libtorch"), [V3])


def models(deployed: Path) -> list[Path]:
    """TorchScript, and the packages."""
    return sorted((deployed / "pytorch").glob("*.pt*"))


def package(deployed: Path, level: str) -> Path:
    (path,) = (deployed / "pytorch").glob(f"*{level}*.pt2")
    return path


def with_metadata(package: Path, path: Path, key: str, value: str) -> Path:
    """A copy of a package that says something else of itself."""
    with zipfile.ZipFile(package) as original, zipfile.ZipFile(path, "w") as copy:
        for record in original.infolist():
            content = original.read(record)
            if record.filename.endswith("_metadata.json"):
                content = re.sub(rf'("cyclotrain\.{key}": ")[^"]+'.encode(), rb"\g<1>" + value.encode(), content)
            copy.writestr(record, content)
    return path


@pytest.fixture(scope="module")
def built(deployed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of the bundle, built for LibTorch."""
    folder, cmake = tmp_path_factory.mktemp("built"), Path(sys.executable).parent / "cmake"
    run(
        cmake, "-S", deployed / "cpp", "-B", folder, "-DWITH_ONNXRUNTIME=OFF", "-DWITH_TORCH=ON",
        f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}", f"-DCMAKE_CXX_FLAGS={SANITISERS}",
    )  # fmt: skip
    run(cmake, "--build", folder)
    return folder


def test_ctest_checks_every_form_on_the_reference_vectors(deployed: Path, built: Path, tmp_path: Path) -> None:
    output = run(Path(sys.executable).parent / "ctest", "--test-dir", built, "--verbose")
    version = torch.__version__.partition("+")[0]
    line = rf"LibTorch {version}: 3\d\d examples, largest difference (\S+) one by one, (\S+) in one batch"
    differences = re.findall(line, output)
    assert len(differences) == len(models(deployed)) == 3
    assert all(float(value) <= 1e-6 for pair in differences for value in pair)
    wrong = tmp_path / "wrong.txt"
    text = (deployed / "reference/reference.txt").read_text()
    wrong.write_text(re.sub(r"(output \d+ )\S+", r"\g<1>7", text, count=1))
    run(built / "check_torch", deployed / "pytorch/model.pt", wrong, expected=1)


def test_odd_names_of_branches_are_those_of_the_contract(built: Path, tmp_path: Path) -> None:
    trained = trained_with_odd_names(tmp_path)
    export_torchscript(trained.model, tmp_path / "model.pt")
    deployed = deploy(trained, tmp_path / "deploy", ["cpp"], torchscript=tmp_path / "model.pt")
    output = run(built / "check_torch", deployed / "pytorch/model.pt", deployed / "reference/reference.txt")
    assert "examples, largest difference" in output


@pytest.fixture(scope="module")
def driver(deployed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`driver.cpp` with the header of the bundle."""
    path = tmp_path_factory.mktemp("driver") / "driver"
    run(
        "g++", "-std=c++17", *SANITISERS.split(), "-Wall", "-Wextra", "-Werror", "-I", deployed / "cpp", *INCLUDES,
        HERE.parent / "libtorch/driver.cpp", *LIBRARIES, "-o", path,
    )  # fmt: skip
    return path


def lines(driver: Path, *arguments: Path) -> dict[str, list[str]]:
    """What the driver says, by its first word."""
    by_word: dict[str, list[str]] = {}
    for line in run(driver, *arguments).splitlines():
        word, _, rest = line.partition(": ")
        by_word.setdefault(word, []).append(rest)
    return by_word


@pytest.mark.parametrize("ending", ["pt", "pt2"])
def test_four_threads_share_a_model_and_wrong_tensors_are_refused_by_name(ending: str, driver: Path, deployed: Path) -> None:
    model = deployed / "pytorch/model.pt" if ending == "pt" else package(deployed, "v3")
    said = lines(driver, deployed / "reference/reference.txt", model, package(deployed, "v3"))
    assert float(said["threads"][0]) <= 1e-6 and float(said["tensors"][0]) <= 1e-6
    expected = {
        "type": r"branch 'pf_pt' has type Double; the model takes Float \(float32\)",
        "length": r"branches of one set have different lengths: 'pf_pt' has \d+, 'pf_eta' has \d+",
        "scalar": "branch 'jet_pt' has 2 values an example; the model takes one",
        "batch": r"branch 'pf_pt' has 2 examples; branch '\w+' has 1",
        "axes": r"branch 'pf_pt' has 3 axes; the model takes two, \[batch, 1\] or \[batch, length\]",
        "stride": r"branch 'pf_pt' is not contiguous; call contiguous\(\) on it",
        "no slots": "branch 'pf_pt' has no slots; the model takes at least one, a zero for an empty set",
        "no examples": "branch 'jet_pt' has no examples; the model takes at least one",
        "device": "branch 'pf_pt' is on meta; the model takes tensors on the CPU",
        "undefined": "branch 'pf_pt' is an undefined tensor",
        "sparse": "branch 'pf_pt' is sparse; the model takes dense tensors",
        "name": "branch 'pf_pt' is missing",
        "vectors": r"branches of one set have different lengths: 'pf_pt' has \d+, 'pf_eta' has \d+",
    }
    for word, message in expected.items():
        (text,) = said[word]
        assert re.fullmatch(message, text), word
    (text,) = said["old processor"]
    assert re.search(
        r"v3\S+: compiled for processors of x86-64-v3, and .* lacks some .* the package for x86-64-v2 or model.pt", text
    )


def test_files_that_this_machine_cannot_load_are_refused_in_words(driver: Path, deployed: Path, tmp_path: Path) -> None:
    script, compiled = deployed / "pytorch/model.pt", package(deployed, "v3")
    cut = [tmp_path / "cut.pt", tmp_path / "cut.pt2"]
    for original, path in zip((script, compiled), cut, strict=True):
        path.write_bytes(original.read_bytes()[:20_000])
    foreign = tmp_path / "foreign.pt"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), foreign)
    expected = {
        tmp_path / "none.pt": "cannot open this file",
        cut[0]: "cannot load this file; it is truncated",
        cut[1]: "cannot load this file; it is truncated",
        shutil.copyfile(compiled, tmp_path / "package.pt"): "cannot load this file",
        shutil.copyfile(script, tmp_path / "script.pt2"): "cannot load this file",
        foreign: "not a model made by Cyclotrain; it has no contract inside",
        with_metadata(compiled, tmp_path / "new.pt2", "torch_minimum", "99.1"): "needs LibTorch 99.1 or later; this is",
        with_metadata(compiled, tmp_path / "set.pt2", "instruction_set", "x86-64-v9"): "compiled for processors of x86-64-v9",
    }
    said = lines(driver, deployed / "reference/reference.txt", script, compiled, *expected)
    assert len(said["file"]) == len(expected)
    for text, (path, message) in zip(said["file"], expected.items(), strict=True):
        assert text.startswith(f"{path}: ") and message in text and "frame #" not in text


def test_several_outputs_come_out_of_the_contract(regressing: Path, tmp_path: Path) -> None:
    run(
        "g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *INCLUDES, regressing / "cpp/check_torch.cpp", *LIBRARIES,
        "-o", tmp_path / "check_torch",
    )  # fmt: skip
    for model in models(regressing):
        assert "examples, largest difference" in run(tmp_path / "check_torch", model, regressing / "reference/reference.txt")


@pytest.fixture(scope="module")
def library(deployed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of rdataframe_torch.h, which is the same for every model."""
    folder, cmake = tmp_path_factory.mktemp("torch_library"), Path(sys.executable).parent / "cmake"
    source = deployed / "rdataframe/torch_library"
    run(cmake, "-S", source, "-B", folder, f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}")
    run(cmake, "--build", folder)
    return folder / "libcyclotrain_torch.so"


def rdataframe_says(deployed: Path, library: Path, python_with_root: Path, script: str) -> list[str]:
    """What a script says of `frame`, that of the reference vectors, with the functions of rdataframe_torch.h."""
    start = f"""
import ROOT
assert ROOT.gSystem.Load("{library}") >= 0
assert ROOT.gInterpreter.Declare('#include "{deployed}/rdataframe/rdataframe_torch.h"')
ROOT.EnableImplicitMT(2)
frame = ROOT.RDF.AsRNode(ROOT.RDataFrame("reference", "{deployed}/reference/reference.root"))
"""
    output = run(python_with_root, "-W", "ignore", "-c", start + script)
    return [line.removeprefix("said ") for line in output.splitlines() if line.startswith("said ")]


def test_rdataframe_gives_the_same_numbers_in_two_threads(deployed: Path, library: Path, python_with_root: Path) -> None:
    script = "".join(
        f"""
defined = ROOT.cyclotrain.define_torch(frame, "computed", "{model}")
defined = defined.Define("difference", "ROOT::VecOps::Max(abs(computed - probabilities))")
print("said", defined.Count().GetValue(), defined.Max("difference").GetValue())
"""
        for model in models(deployed)
    )
    said = [line.split() for line in rdataframe_says(deployed, library, python_with_root, script)]
    assert len(said) == 3 and all(int(n) >= 200 and float(largest) <= 1e-6 for n, largest in said)


def test_rdataframe_has_a_column_for_each_output(
    regressing: Path, trained_to_regress: Trained, library: Path, python_with_root: Path
) -> None:
    contract = trained_to_regress.contract
    scales = {quantity.name: quantity.scale for quantity in contract.regression}
    script = f'frame = ROOT.cyclotrain.define_outputs_torch(frame, "my_", "{regressing}/pytorch/model.pt")\n' + "\n".join(
        f'frame = frame.Define("d_{output.name}", "ROOT::VecOps::Max(abs(my_{output.name} - {output.name})) / '
        f'{scales.get(output.name, 1.0)}"); print("said", frame.Max("d_{output.name}").GetValue())'
        for output in contract.outputs
    )
    said = rdataframe_says(regressing, library, python_with_root, script)
    assert len(said) == len(contract.outputs) and all(float(largest) <= 1e-5 for largest in said)


@pytest.fixture(params=["classes", "regression"])
def either(request: pytest.FixtureRequest) -> tuple[Trained, Path]:
    """A model with one output or with several, and its bundle."""
    names = {"classes": ("trained", "deployed"), "regression": ("trained_to_regress", "regressing")}[request.param]
    trained, deployed = map(request.getfixturevalue, names)
    return trained, deployed


def test_the_cmssw_producer_gives_the_same_numbers_in_four_streams(either: tuple[Trained, Path], tmp_path: Path) -> None:
    model, folder = either
    (source,) = (folder / "cmssw_pytorch/Cyclotrain").glob("*Torch/plugins/*TorchProducer.cc")
    standin = HERE.parent / "cmssw_standin"
    run(
        "g++", "-std=c++17", *SANITISERS.split(), "-Wall", "-Wextra", "-Werror", "-I", standin, "-I", folder / "cpp", *INCLUDES,
        source, standin / "driver.cc", *LIBRARIES, "-o", tmp_path / "driver",
    )  # fmt: skip
    arguments = producer_arguments(folder, model, "cmssw_pytorch")
    output = run(tmp_path / "driver", *arguments)
    answer = re.search(r"testTorchProducer: 3\d\d examples, largest difference (\S+)", output)
    assert answer and float(answer[1]) <= 1e-6
    assert re.search(r"InputMismatch: branch 'pf_\w+' has", output)
    (path,) = (folder / "cmssw_pytorch").rglob("model.pt")
    content = path.read_bytes()
    path.write_bytes(content[:10_000])
    assert f"TorchModelError: {path}: " in run(tmp_path / "driver", *arguments, expected=2)
    path.write_bytes(content)


def test_the_cmssw_configuration_has_the_service_that_keeps_libtorch_on_one_thread(deployed: Path) -> None:
    (script,) = (deployed / "cmssw_pytorch").rglob("testTorchProducer_cfg.py")
    lines = script.read_text().splitlines()
    assert 'process.PyTorchService = cms.Service("PyTorchService")' in lines
    assert 'process.load("Cyclotrain.TestTorch.testTorchProducer_cfi")' in lines


def columns_header(trained: Trained, interface: Path) -> str:
    """What the driver of the alpaka producer needs of a model: its collections, and an example as an element of them."""
    inputs = trained.contract.layout.inputs
    (header,) = interface.glob("*SoA.h")
    columns = re.findall(r"SOA_(?:EIGEN_)?COLUMN\(\w+, (\w+)\)", header.read_text())
    branches, answers = columns[: len(inputs)], columns[len(inputs) :]
    assert len(answers) == len(trained.contract.columns)
    filled = "".join(
        f'  fill_column(element.{column}(), example.at("{branch}"), {trained.contract.layout.sets[name].max_length});\n'
        if name
        else f'  element.{column}() = example.at("{branch}").at(0);\n'
        for column, (branch, name) in zip(branches, inputs.items(), strict=True)
    )
    return f"""
#include "Cyclotrain/TestAlpaka/interface/alpaka/TestAlpakaDeviceCollections.h"
using Inputs = alpaka_serial_sync::cyclotrain::TestAlpakaInputDeviceCollection;
using Outputs = alpaka_serial_sync::cyclotrain::TestAlpakaOutputDeviceCollection;
template <typename Column>
void fill_column(Column column, const std::vector<float>& values, size_t length) {{
  for (size_t row = 0; row < length; ++row)
    column[row] = row < values.size() ? values[row] : 0.f;
}}
template <typename Element, typename Example>
void fill(Element element, const Example& example) {{
{filled}}}
template <typename Element>
std::vector<float> read(Element element) {{
  return {{{", ".join(f"element.{column}()" for column in answers)}}};
}}
"""


def test_the_alpaka_producer_gives_the_same_numbers_in_four_streams(either: tuple[Trained, Path], tmp_path: Path) -> None:
    trained, folder = either
    package, standin = folder / "cmssw_alpaka/Cyclotrain/TestAlpaka", HERE.parent / "cmssw_standin"
    (tmp_path / "columns.h").write_text(columns_header(trained, package / "interface"))
    run(
        "g++", "-std=c++20", *SANITISERS.split(), "-Wall", "-Wextra", "-Werror", "-I", standin, "-I", folder / "cmssw_alpaka",
        "-I", folder / "cpp", "-I", tmp_path, *INCLUDES, package / "plugins/alpaka/TestAlpakaProducer.cc",
        standin / "driver_alpaka.cc", *LIBRARIES, "-o", tmp_path / "driver",
    )  # fmt: skip
    output = run(tmp_path / "driver", folder / "cmssw_alpaka", folder / "reference/reference.txt")
    answer = re.search(r"3\d\d examples, largest difference (\S+)", output)
    assert answer and float(answer[1]) <= 1e-6


def test_the_files_of_the_alpaka_package_name_each_other(deployed: Path) -> None:
    package = deployed / "cmssw_alpaka/Cyclotrain/TestAlpaka"
    for path in [*package.rglob("*.h"), *package.rglob("*.cc")]:
        for included in re.findall(r'#include "Cyclotrain/(\S+)"', path.read_text()):
            assert (package.parent / included).is_file()
    for path in package.rglob("*.xml"):
        # CMSSW's own parser takes the brackets of templates
        text = re.sub(r'name="[^"]*"', 'name=""', path.read_text())
        ElementTree.fromstring(f"<file>{text}</file>")
    (script,) = package.rglob("testAlpakaProducer_cfg.py")
    assert 'cms.Service("PyTorchService")' in script.read_text() and "TestAlpakaProducer@alpaka" in script.read_text()
