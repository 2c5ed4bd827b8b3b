"""The deployment bundle with its real consumers: Python, C++, CMSSW's interface, RDataFrame, Triton's protobuf."""

import ast
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import uproot

from cyclotrain.contract.results import AOT_INDUCTOR
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.deploy.bundle import Parts, bundle
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.export.cmssw_preprocess import prepare, variables
from cyclotrain.export.to_onnx import export_network
from cyclotrain.export.to_torch import export_torchscript
from cyclotrain.ingest.ntuples import depths, open_tree, read_batches
from cyclotrain.networks.features import FeatureLayer
from support import REPOSITORY
from support.bundles import card_and_plots, deploy, producer_arguments
from support.pages import blocks
from support.programs import SANITISERS, run, uv_environment
from support.toys import jets, raw_config, skim_and_assemble, write_tree
from support.trained import Trained

pytestmark = pytest.mark.runtimes
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def deployed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_all_forms(trained, tmp_path_factory.mktemp("bundle") / "deploy")


def with_all_forms(trained: Trained, folder: Path) -> Path:
    return deploy(trained, folder, trained.config.export.takers, **forms(trained))


# branches that are no names in Python or C++, or whose names look alike in CMSSW
ODD = ["lambda", "b-tag", "x.y", "x_y", "xY", "µ_pt", "2nd jet", "label", "class"]


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A model of oddly named branches, and its bundle."""
    folder = tmp_path_factory.mktemp("odd")
    random = np.random.default_rng(1)
    paths = {}
    for index, name in enumerate(("back-ground", "backGround")):
        columns = jets(600, 11 + index, bool(index))
        columns |= {branch: random.normal(index, 1, 600).astype(np.float32) for branch in ODD}
        # `nset pt` is how many there are: ROOT calls it so
        columns |= {"set pt": columns["pf"]["pt"], "set-pt": columns["pf"]["eta"]}
        paths[name] = write_tree(folder / f"{name}.root", columns)
    raw = raw_config(paths, run="a-b_model", classes=list(paths))
    raw["inputs"] = {
        "event": {"features": [f"`{branch}`" for branch in [*ODD, "nset pt"]] + ["`set pt`[1]"]},
        "pf": {"max_length": 4, "valid": "`set pt` > 0", "features": ["log(`set pt`)", "`set-pt`"]},
    }
    raw["training"] = {"epochs": 1, "batch_size": 128}
    trained = Trained(*skim_and_assemble(raw, folder), folder / "out")
    return trained, with_all_forms(trained, folder / "deploy")


def forms(trained: Trained) -> dict[str, Path]:
    """The model in all its forms besides ONNX."""
    names = {"network": "network.onnx", "preprocess": "preprocess.json", "torchscript": "model.pt"}
    paths = {form: trained.folder / name for form, name in names.items()}
    targets = trained.config.export.targets
    export_network(trained.model, targets=targets, path=paths["network"], preprocess=paths["preprocess"])
    export_torchscript(trained.model, paths["torchscript"])
    return {**paths, **{name: trained.compiled(name) for name in AOT_INDUCTOR}}


@pytest.mark.parametrize("form", ["*.pt", "*x86_64-v2*.pt2", "*x86_64-v3*.pt2"])
def test_libtorch_gives_the_answers_of_the_reference_with_inputs_in_the_order_of_the_readme(form: str, deployed: Path) -> None:
    table = re.findall(r"^\| (\d+) \| `(.+)` \| \[batch, .+\] \|$", (deployed / "pytorch/README.md").read_text(), re.MULTILINE)
    order = [branch for _, branch in table]
    assert [int(position) for position, _ in table] == list(range(len(order)))
    (path,) = (deployed / "pytorch").glob(form)
    model = torch.jit.load(path) if path.suffix == ".pt" else torch._inductor.aoti_load_package(str(path))
    reference = json.loads((deployed / "reference/reference.json").read_text())
    with torch.inference_mode():
        for example in reference["examples"]:
            values = [torch.tensor([example["inputs"][branch] or [0.0]], dtype=torch.float32) for branch in order]
            difference = np.abs(model(*values).numpy()[0] - example["probabilities"]).max()
            assert difference <= reference["tolerance"]


def test_the_name_of_a_compiled_model_says_where_it_runs(deployed: Path) -> None:
    names = {path.name for path in (deployed / "pytorch").glob("*.pt2")}
    assert {re.sub(r"glibc2\.\d+", "glibc2.N", name) for name in names} == {
        f"model-x86_64-{version}-glibc2.N-torch2.10.pt2" for version in ("v2", "v3")
    }
    readme = (deployed / "pytorch/README.md").read_text()
    assert all(f"| `{name}` | compiled by AOTInductor" in readme for name in names)


def test_a_bundle_without_torchscript_has_no_folder_for_it(trained: Trained, tmp_path: Path) -> None:
    deploy(trained, tmp_path / "deploy", ["cpp"])
    assert not (tmp_path / "deploy/pytorch").exists()
    assert "pytorch" not in (tmp_path / "deploy/README.md").read_text()


def test_every_file_is_listed_with_its_checksum(deployed: Path, trained: Trained) -> None:
    checksums = dict(reversed(line.split("  ")) for line in (deployed / "SHA256SUMS").read_text().splitlines())
    files = {str(p.relative_to(deployed)) for p in deployed.rglob("*") if p.is_file()} - {"SHA256SUMS"}
    assert set(checksums) == files
    assert (deployed / "model_card.md").read_text() == "model_card.md" and (deployed / "plots/roc.png").exists()
    models = [path for path in checksums if path.endswith("model.onnx")]
    assert len(models) == 3 and {checksums[path] for path in models} == {file_sha256(trained.onnx)}


def test_python_checks_the_reference_vectors(deployed: Path, tmp_path: Path) -> None:
    assert "examples, largest difference 0" in run(sys.executable, deployed / "reference/check.py")
    copy = tmp_path / "deploy"
    shutil.copytree(deployed, copy)
    reference = json.loads((copy / "reference/reference.json").read_text())
    reference["examples"][-1]["probabilities"][0] += 1e-5
    (copy / "reference/reference.json").write_text(json.dumps(reference))
    run(sys.executable, copy / "reference/check.py", expected=1)


def test_the_network_after_its_preprocess_json_gives_the_same_numbers(deployed: Path, trained: Trained) -> None:
    data = deployed / "cmssw/Cyclotrain/Test/data/test/V01"
    session = ort.InferenceSession(data / "network.onnx", providers=["CPUExecutionProvider"])
    preprocess = json.loads((data / "preprocess.json").read_text())
    layer, layout = FeatureLayer(trained.contract.layout), trained.contract.layout
    examples = json.loads((deployed / "reference/reference.json").read_text())["examples"]
    for example in examples:
        branches = {branch: torch.tensor([values or [0.0]]) for branch, values in example["inputs"].items()}
        inputs = prepare(preprocess, variables(layer, layout, branches))
        (answer,) = session.run(None, inputs)
        np.testing.assert_allclose(answer[0], example["probabilities"], atol=1e-6)
    assert "preprocess.json" in (deployed / "cmssw/README.md").read_text()


def test_the_reference_vectors_are_real_examples_of_all_kinds(deployed: Path, trained: Trained) -> None:
    examples = json.loads((deployed / "reference/reference.json").read_text())["examples"]
    assert len(examples) >= 300
    lengths = {len(example["inputs"]["pf_pt"]) for example in examples}
    assert {0, trained.contract.layout.sets["pf"].max_length} <= lengths
    assert {example["label"] for example in examples} == {"background", "signal"}
    with uproot.open(deployed / "reference/reference.root") as file:
        tree = file["reference"].arrays()
    for i, example in enumerate(examples):
        assert tree["pf_pt"][i].tolist() == example["inputs"]["pf_pt"]
        assert [float(tree["jet_pt"][i])] == example["inputs"]["jet_pt"]
        assert tree["probabilities"][i].tolist() == example["probabilities"]


def test_cpp_gives_the_same_numbers(deployed: Path, onnxruntime_cpp: tuple[Path, Path], tmp_path: Path) -> None:
    headers, library = onnxruntime_cpp
    build = tmp_path / "build"
    cmake = Path(sys.executable).parent / "cmake"
    run(
        cmake, "-S", deployed / "cpp", "-B", build, f"-DONNXRUNTIME_INCLUDE={headers}",
        f"-DONNXRUNTIME_LIBRARY={library}/libonnxruntime.so", f"-DCMAKE_CXX_FLAGS={SANITISERS}",
    )  # fmt: skip
    run(cmake, "--build", build)
    output = run(build / "check", deployed / "model.onnx", deployed / "reference/reference.txt")
    assert re.search(r"3\d\d examples, largest difference \S+ one by one", output)
    wrong = tmp_path / "wrong.txt"
    text = (deployed / "reference/reference.txt").read_text()
    wrong.write_text(text.replace("input pf_pt", "input pf_energy"))
    assert "branch 'pf_pt' is missing" in run(build / "check", deployed / "model.onnx", wrong, expected=2)
    wrong.write_text(re.sub(r"input pf_eta (\d+)", lambda m: f"input pf_eta {int(m[1]) + 1} 0", text))
    assert "branches of one set have different lengths" in run(build / "check", deployed / "model.onnx", wrong, expected=2)
    wrong.write_text(text[: len(text) // 2])
    run(build / "check", deployed / "model.onnx", wrong, expected=2)


def test_the_cmssw_producer_gives_the_same_numbers(
    deployed: Path, trained: Trained, onnxruntime_cpp: tuple[Path, Path], tmp_path: Path
) -> None:
    output = drive_producer(deployed, trained, onnxruntime_cpp, tmp_path / "driver")
    assert re.search(r"testProducer: 3\d\d examples, largest difference", output)
    assert re.search(r"InputMismatch: branch 'pf_\w+' has", output)


def drive_producer(deployed: Path, trained: Trained, onnxruntime_cpp: tuple[Path, Path], driver: Path) -> str:
    """What the producer says when it runs on the reference vectors."""
    headers, library = onnxruntime_cpp
    (source,) = (deployed / "cmssw/Cyclotrain").glob("*/plugins/*.cc")
    standin = HERE.parent / "cmssw_standin"
    run(
        "g++", "-std=c++17", "-g", *SANITISERS.split(), "-Wall", "-Wextra", "-Werror", "-I", standin, "-I", deployed / "cpp",
        "-isystem", headers, source, standin / "driver.cc", f"-L{library}", "-lonnxruntime", f"-Wl,-rpath,{library}",
        "-o", driver,
    )  # fmt: skip
    return run(driver, *producer_arguments(deployed, trained, "cmssw"))


def cmssw_parameters(deployed: Path) -> dict[str, str]:
    """The products by parameter, as Python reads the CMSSW configuration."""
    (script,) = (deployed / "cmssw/Cyclotrain").glob("*/test/*_cfg.py")
    tree = ast.parse(script.read_text())
    assignments = [node for node in tree.body if isinstance(node, ast.Assign) and ".branches." in ast.unparse(node)]
    return {ast.unparse(node.targets[0]).rpartition(".")[2]: ast.unparse(node.value) for node in assignments}


def test_the_cmssw_configuration_sets_a_tag_for_each_branch(deployed: Path, trained: Trained) -> None:
    tags = cmssw_parameters(deployed)
    assert list(tags) == list(trained.contract.layout.inputs)
    assert tags["jet_pt"] == "cms.InputTag('ntuple', 'jetPt')"


def test_oddly_named_branches_work_in_all_consumers(
    oddly_named: tuple[Trained, Path], onnxruntime_cpp: tuple[Path, Path], tmp_path: Path
) -> None:
    trained, deployed = oddly_named
    tags = cmssw_parameters(deployed)
    assert len(set(tags.values())) == len(tags) == len(trained.contract.layout.inputs) == len(ODD) + 4
    assert {"branch_lambda", "b_tag", "x_y", "x_y2", "xY", "pt"} <= set(tags)
    output = drive_producer(deployed, trained, onnxruntime_cpp, tmp_path / "driver")
    assert re.search(r"aBModelProducer: \d+ examples, largest difference", output)
    headers, library = onnxruntime_cpp
    run(
        "g++", "-std=c++17", "-isystem", headers, deployed / "cpp/check.cpp", f"-L{library}", "-lonnxruntime",
        f"-Wl,-rpath,{library}", "-o", tmp_path / "check",
    )  # fmt: skip
    output = run(tmp_path / "check", deployed / "model.onnx", deployed / "reference/reference.txt")
    assert "examples, largest difference" in output
    with uproot.open(deployed / "reference/reference.root") as file:
        assert {"label", "label2", "probabilities", "nset pt", "set pt[1]", *ODD} <= set(file["reference"].keys())
        assert not np.isin(file["reference"]["label"].array(library="np"), (0, 1)).any()


def test_root_reads_a_friend_tree_beside_its_ntuple(trained: Trained, python_with_root: Path, tmp_path: Path) -> None:
    path = write_tree(tmp_path / "ntuple.root", jets(500, 5))
    friend = tmp_path / "friend.root"
    ntuple = Ntuple(path, "Jets", selection=["jet_pt > 600"])
    score(ntuple, {str(trained.onnx): file_sha256(trained.onnx)}, friend=friend, threads=1)
    (block,) = (block.code for block in blocks(REPOSITORY / "docs/use-the-model.md") if block.language == "cpp")
    names = {
        "Events": "Jets",
        "results/my-tagger/friends/data2018/file.root": str(friend),
        "my_tagger_signal > 0.9": "test_signal > 0.1",
    }
    for name, ours in names.items():
        assert name in block
        block = block.replace(name, ours)
    script = f"""
import ROOT
ROOT.gROOT.SetBatch()
ROOT.gErrorIgnoreLevel = ROOT.kWarning
file = ROOT.TFile("{path}")
tree = file.Get("Jets")
ROOT.gInterpreter.Declare('''void documented(TTree* tree) {{ {block} }}''')
ROOT.documented(tree)
assert 0 < tree.GetSelectedRows() == tree.GetEntries("test_signal > 0.1")
selected = tree.GetEntries("jet_pt > 600 && abs(test_signal + test_background - 1) < 1e-5")
print(tree.GetEntries(), selected, tree.GetEntries("jet_pt <= 600 && test_signal == -1"))
print(str(ROOT.TFile("{friend}").Get("cyclotrain"))[:1])
"""
    numbers, brace = run(python_with_root, "-W", "ignore", "-c", script).splitlines()
    n, selected, rest = map(int, numbers.split())
    assert n == 500 == selected + rest and selected > 0 and rest > 0
    assert brace == "{"


STRUCTS = """
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriter.hxx>
struct Fit { double chi2; };
struct Vertex { float x; Fit fit; };
struct Hit { float energy; std::vector<int> ids; };
void write(const char* path) {
  TFile file(path, "recreate");
  TTree tree("tree", "");
  struct { float x; int n; float v[2]; } point;
  float array[3], matrix[2][2];
  Vertex vertex;
  tree.Branch("point", &point, "x/F:n/I:v[2]/F");
  tree.Branch("array", array, "array[3]/F");
  tree.Branch("matrix", matrix, "matrix[2][2]/F");
  tree.Branch("vertex", &vertex);
  auto model = ROOT::RNTupleModel::Create();
  auto vertex2 = model->MakeField<Vertex>("vertex");
  auto hit = model->MakeField<std::vector<Hit>>("hit");
  auto array2 = model->MakeField<std::array<float, 3>>("array");
  auto writer = ROOT::RNTupleWriter::Append(std::move(model), "ntuple", file);
  for (int i = 0; i < 7; i++) {
    point.x = i / 2.f, point.n = -i, point.v[0] = i, point.v[1] = i + 1;
    vertex.x = i, vertex.fit.chi2 = 2 * i;
    for (int j = 0; j < 3; j++) array[j] = (*array2)[j] = 10 * i + j;
    for (int j = 0; j < 4; j++) matrix[j / 2][j % 2] = 10 * i + j;
    *vertex2 = vertex;
    hit->clear();
    for (int j = 0; j < i % 3; j++) hit->push_back({float(j), {i, j}});
    tree.Fill();
    writer->Fill();
  }
  tree.Write();
}
"""


def test_leaf_lists_structs_and_arrays_that_root_writes_are_read(python_with_root: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "structs.root")
    (tmp_path / "structs.h").write_text(STRUCTS)
    script = f"""
import ROOT
assert ROOT.gInterpreter.Declare('#include "{tmp_path}/structs.h"')
ROOT.write("{path}")
"""
    run(python_with_root, "-W", "ignore", "-c", script)
    n = range(7)
    both = {
        "vertex.x": list(n),
        "vertex.fit.chi2": [2 * i for i in n],
        "array": [[10 * i, 10 * i + 1, 10 * i + 2] for i in n],
    }
    expected: dict[str, dict[str, list[Any]]] = {
        "tree": both
        | {
            "point.x": [i / 2 for i in n],
            "point.n": [-i for i in n],
            "point.v": [[i, i + 1] for i in n],
            "matrix": [[[10 * i, 10 * i + 1], [10 * i + 2, 10 * i + 3]] for i in n],
        },
        "ntuple": both
        | {
            "hit.energy": [list(range(i % 3)) for i in n],
            "hit.ids": [[[i, j] for j in range(i % 3)] for i in n],
        },
    }
    for name, columns in expected.items():
        with open_tree(path, name) as tree:
            nesting = depths(tree, path, columns)
            ((read, _, _),) = read_batches(tree, path, list(columns), 10_000)
        assert {branch: column.tolist() for branch, column in read.items()} == columns
        assert nesting == {branch: column.ndim - 1 for branch, column in read.items()}
    with (
        open_tree(path, "tree") as tree,
        pytest.raises(InputError, match=r"'point' .* is a struct; name .*: point\.x, point\.n"),
    ):
        depths(tree, path, ["point"])


def test_rdataframe_gives_the_same_numbers(deployed: Path, onnxruntime_cpp: tuple[Path, Path], python_with_root: Path) -> None:
    assert_rdataframe_agrees(deployed, onnxruntime_cpp, python_with_root)


def test_rdataframe_takes_oddly_named_branches(
    oddly_named: tuple[Trained, Path], onnxruntime_cpp: tuple[Path, Path], python_with_root: Path
) -> None:
    assert_rdataframe_agrees(oddly_named[1], onnxruntime_cpp, python_with_root)


def test_rdataframe_takes_elements_from_the_lists_of_an_ntuple(
    oddly_named: tuple[Trained, Path], onnxruntime_cpp: tuple[Path, Path], python_with_root: Path, tmp_path: Path
) -> None:
    trained, deployed = oddly_named
    path, friend = trained.config.samples["backGround"].files[0], tmp_path / "friend.root"
    score(Ntuple(path, "Jets"), {str(trained.onnx): file_sha256(trained.onnx)}, friend=friend, threads=1)
    with uproot.open(friend) as file:
        expected = float(file["Jets"]["a_b_model_backGround"].array(library="np").astype(np.float64).sum())
    script = f"""
{rdataframe_of("Jets", path, deployed, onnxruntime_cpp)}
print(frame.Count().GetValue(), frame.Define("score", "double(computed[1])").Sum("score").GetValue())
"""
    n, total = run(python_with_root, "-W", "ignore", "-c", script).split()
    assert int(n) == 600 and float(total) == pytest.approx(expected, abs=1e-4)


def rdataframe_of(tree: str, path: str, deployed: Path, onnxruntime_cpp: tuple[Path, Path]) -> str:
    """Python that makes `frame`, with the probabilities of the model in the column `computed`."""
    headers, library = onnxruntime_cpp
    return f"""
import ROOT
ROOT.gInterpreter.AddIncludePath("{headers}")
assert ROOT.gSystem.Load("{library}/libonnxruntime.so.1") >= 0
assert ROOT.gInterpreter.Declare('#include "{deployed}/rdataframe/rdataframe.h"')
frame = ROOT.RDataFrame("{tree}", "{path}")
frame = ROOT.cyclotrain.define(ROOT.RDF.AsRNode(frame), "computed", "{deployed}/model.onnx")
"""


def assert_rdataframe_agrees(deployed: Path, onnxruntime_cpp: tuple[Path, Path], python_with_root: Path) -> None:
    script = f"""
{rdataframe_of("reference", f"{deployed}/reference/reference.root", deployed, onnxruntime_cpp)}
frame = frame.Define("difference", "ROOT::VecOps::Max(abs(computed - probabilities))")
print(frame.Count().GetValue(), frame.Max("difference").GetValue())
"""
    n, largest = run(python_with_root, "-W", "ignore", "-c", script).split()
    assert int(n) >= 200 and float(largest) <= 1e-6


def test_triton_reads_its_configuration(deployed: Path, trained: Trained, tmp_path: Path) -> None:
    python = uv_environment(tmp_path / "triton", "tritonclient[grpc]==2.73.0")
    repository = deployed / "triton/test"
    script = f"""
import json
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
config = text_format.Parse(open("{repository}/config.pbtxt").read(), model_config_pb2.ModelConfig())
print(json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True)))
"""
    config = json.loads(run(python, "-c", script))
    assert config["name"] == "test" and config["platform"] == "onnxruntime_onnx" and "dynamic_batching" in config
    session = ort.InferenceSession(repository / "1/model.onnx", providers=["CPUExecutionProvider"])
    # max_batch_size stands for the batch axis, which Triton adds
    dims = {i["name"]: [int(d) for d in i["dims"]] for i in config["input"]}
    assert dims == {i.name: [1 if i.shape[1] == 1 else -1] for i in session.get_inputs()}
    (output,) = config["output"]
    assert (output["name"], [int(d) for d in output["dims"]]) == ("probabilities", [len(trained.contract.classes)])
    assert (repository / output["label_filename"]).read_text().split() == list(trained.contract.classes)
    assert config["parameters"]["model_sha256"]["string_value"] == file_sha256(repository / "1/model.onnx")
    assert int(config["max_batch_size"]) > 1


@pytest.fixture(scope="module", params=["trained_to_regress", "trained_without_classes"])
def regressing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    """A model with regressed quantities, and its bundle."""
    trained: Trained = request.getfixturevalue(request.param)
    return trained, with_all_forms(trained, tmp_path_factory.mktemp("regressing") / "deploy")


def test_python_checks_all_outputs(regressing: tuple[Trained, Path], tmp_path: Path) -> None:
    _, deployed = regressing
    assert "examples, largest difference" in run(sys.executable, deployed / "reference/check.py")
    copy = tmp_path / "deploy"
    shutil.copytree(deployed, copy)
    reference = json.loads((copy / "reference/reference.json").read_text())
    reference["examples"][-1]["outputs"]["far"][0] *= 1 + 1e-4
    (copy / "reference/reference.json").write_text(json.dumps(reference))
    run(sys.executable, copy / "reference/check.py", expected=1)


def test_cpp_and_cmssw_give_all_outputs(
    regressing: tuple[Trained, Path], onnxruntime_cpp: tuple[Path, Path], tmp_path: Path
) -> None:
    trained, deployed = regressing
    headers, library = onnxruntime_cpp
    source = tmp_path / "by_output.cpp"
    source.write_text(BY_OUTPUT)
    for program in (deployed / "cpp/check.cpp", source):
        run(
            "g++", "-std=c++17", *SANITISERS.split(), "-Wall", "-Wextra", "-Werror", "-isystem", headers, "-I", deployed / "cpp",
            program, f"-L{library}", "-lonnxruntime", f"-Wl,-rpath,{library}", "-o", tmp_path / program.stem,
        )  # fmt: skip
    files = deployed / "model.onnx", deployed / "reference/reference.txt"
    assert "examples, largest difference" in run(tmp_path / "check", *files)
    shapes = [f"{output.name} {len(output.columns)}" for output in trained.contract.outputs]
    assert run(tmp_path / "by_output", *files).splitlines() == [",".join(trained.contract.columns), *sorted(shapes)]
    wrong, text = tmp_path / "wrong.txt", files[1].read_text()
    wrong.write_text(re.sub(r"(output \d+ .*?)(\S+)$", r"\1 1e9", text, count=1, flags=re.MULTILINE))
    run(tmp_path / "check", files[0], wrong, expected=1)
    output = drive_producer(deployed, trained, onnxruntime_cpp, tmp_path / "driver")
    assert re.search(r"testProducer: 3\d\d examples, largest difference", output)


BY_OUTPUT = """
#include <iostream>
#include "cyclotrain.h"
#include "reference.h"
int main(int, char** argv) {
  const cyclotrain::Model model(argv[1]);
  for (size_t i = 0; i < model.columns().size(); ++i)
    std::cout << (i ? "," : "") << model.columns()[i];
  std::cout << "\\n";
  const auto example = cyclotrain::Reference::read(argv[2]).examples.front();
  for (const auto& [name, values] : model.by_output(model(example)))
    std::cout << name << " " << values.size() << "\\n";
}
"""


def test_rdataframe_has_a_column_for_each_output(
    regressing: tuple[Trained, Path], onnxruntime_cpp: tuple[Path, Path], python_with_root: Path
) -> None:
    trained, deployed = regressing
    headers, library = onnxruntime_cpp
    differences = "; ".join(
        f'print(frame.Define("d", "ROOT::VecOps::Max(abs(my_{output.name} - {output.name})) / {scale}").Max("d").GetValue())'
        for output in trained.contract.outputs
        for scale in [next((q.scale for q in trained.contract.regression if q.name == output.name), 1.0)]
    )
    script = f"""
import ROOT
ROOT.gInterpreter.AddIncludePath("{headers}")
assert ROOT.gSystem.Load("{library}/libonnxruntime.so.1") >= 0
assert ROOT.gInterpreter.Declare('#include "{deployed}/rdataframe/rdataframe.h"')
frame = ROOT.RDataFrame("reference", "{deployed}/reference/reference.root")
frame = ROOT.cyclotrain.define_outputs(ROOT.RDF.AsRNode(frame), "my_", "{deployed}/model.onnx")
{differences}
"""
    largest = run(python_with_root, "-W", "ignore", "-c", script).split()
    assert len(largest) == len(trained.contract.outputs) and all(float(value) <= 1e-5 for value in largest)


def test_triton_and_the_readmes_name_all_outputs(regressing: tuple[Trained, Path]) -> None:
    trained, deployed = regressing
    config = (deployed / "triton/test/config.pbtxt").read_text()
    client = (deployed / "triton/client_cfi.py").read_text()
    producer = (deployed / "cmssw/README.md").read_text()
    for output in trained.contract.outputs:
        dims = re.search(rf'name: "{output.name}"\s+data_type: TYPE_FP32\s+dims: \[ (\d+) \]', config)
        assert dims and int(dims[1]) == len(output.columns)
        assert f'"{output.name}"' in client and f"`{output.name}`" in (deployed / "README.md").read_text()
        assert all(f"for {column}" in producer for column in output.columns)
    assert (deployed / "triton/test/labels_ratio.txt").read_text().split() == ["ratio_q16", "ratio_q50", "ratio_q84"]


def test_a_failed_bundle_leaves_the_old_one(deployed: Path, trained: Trained) -> None:
    before = (deployed / "SHA256SUMS").read_text()
    with pytest.raises(FileNotFoundError):
        parts = Parts({"onnx": trained.onnx.with_name("none.onnx")}, deployed, *card_and_plots(deployed.parent))
        bundle(trained.contract, ["cpp"], parts, deployed)
    assert (deployed / "SHA256SUMS").read_text() == before
    assert sorted(path.name for path in deployed.parent.iterdir()) == [deployed.name, "page", "reference"]
