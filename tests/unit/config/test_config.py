from pathlib import Path
from typing import Any

import pytest

from cyclotrain.config import ConfigError, ModelConfig, load
from cyclotrain.config import docs as config_docs
from cyclotrain.ingest.sources import resolve_files
from support import REPOSITORY
from support.toys import raw_config


@pytest.mark.parametrize("path", config_docs.files())
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert (REPOSITORY / path).read_text() == config_docs.files()[path], "run `make docs`"


def changed(*path: str, value: Any) -> dict[str, Any]:
    raw = raw_config({"background": "b.root", "signal": "s.root"})
    inner = raw
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("sed",), 1, "sed: unknown key; did you mean 'seed'?"),
        (("training", "epoch"), 1, "training.epoch: unknown key; did you mean 'epochs'?"),
        (("samples", "signal", "lable"), "x", "samples.signal.lable: unknown key; did you mean 'label'?"),
        (("training", "epochs"), "many", "training.epochs: input should be a valid integer"),
        (("training", "epochs"), 0, "training.epochs: input should be greater than or equal to 1 (given: 0)"),
        (("training", "devices"), 2, "training: 'devices: 2' needs 'accelerator: gpu'"),
        (("split",), {"train": 0.5, "validation": 0.1, "test": 0.1}, "split: train + validation + test is 0.7, not 1"),
        (("selection",), "jet_pt >", "selection: syntax error"),
        (("inputs", "jet", "features"), ["__import__('os')"], "inputs.jet.features.0: unknown function '__import__'"),
        (("inputs", "pf", "valid"), None, "inputs.pf: 'max_length' and 'valid' go together"),
        (("inputs", "batch"), {"features": ["jet_pt"]}, "inputs.batch: this name cannot be used"),
        (("inputs", "class"), {"features": ["jet_pt"]}, "inputs.class: this name cannot be used"),
        (("inputs", "jet", "features"), ["log(probabilities)"], "inputs.jet: 'probabilities' is the output of the model"),
        (("inputs", "pf", "sort_by"), "probabilities", "inputs.pf: 'probabilities' is the output of the model"),
        (("inputs", "probabilities"), {"features": ["jet_pt"]}, "inputs.probabilities: 'probabilities' is the output"),
        (("samples", "signal", "label"), "signl", "samples.signal.label: 'signl' is not a class; did you mean"),
        (("samples", "signal", "label"), "a.b", "samples.signal.label: neither a class"),
        (("samples", "signal", "label"), None, "samples.signal.label: no class is given"),
        (("samples", "signal", "simulate"), {"process": "qcd", "jets": 1}, "samples.signal: give either 'files' or 'simulate'"),
        (("classes",), ["a", "a"], "classes: a class is listed twice"),
        (("classes",), ["t-t", "w", "t_t"], "classes: 't-t' and 't_t' have the same branch in friend trees; rename one of them"),
        (("evaluation",), {"signal": "top"}, "evaluation.signal: 'top' is not one of background, signal"),
        (("model",), {"name": "mlp"}, "'mlp' takes no sets of constituents, and inputs.pf is one; use 'deep_sets' or"),
        (("inputs",), {"jet": {"features": ["jet_pt"]}}, "'deep_sets' needs sets of constituents, and there are none"),
        (("model", "name"), "tranformer", "'tranformer' is neither one of mlp, deep_sets, transformer, particle_transformer, "),
        (("model", "name"), "tranformer", "nor 'package.module:Class'; did you mean 'transformer'?"),
        (("model", "options"), {"ph": [8]}, "model.options: 'deep_sets' has no option 'ph'; did you mean 'phi'?"),
        (("model", "options"), {"a": 1, "b": 2}, "model.options: 'deep_sets' has no option 'a', 'b'; it has phi, rho, dropout"),
        (("model", "options"), {"phi": [0]}, "model.options: 'phi.0': input should be greater than or equal to 1 (given: 0)"),
        (("model",), {"name": "transformer", "options": {"heads": 3}}, "'width' is 64, which 'heads' (3) must divide"),
        (("model",), {"name": "particle_net", "options": {"preset": "small"}}, "there is no preset 'small'; there is: published"),
        (("model",), {"name": "particle_net"}, "inputs.pf.four_vector: 'particle_net' needs the four-vector of each constituent"),
        (("inputs", "pf", "four_vector"), {"pt": "pf_pt", "eta": "pf_eta"}, "four_vector: give pt, eta, phi or px, py, pz"),
        (("inputs", "pf", "four_vector"), {"px": "x", "py": "y", "pz": "z"}, ", and energy or mass (given: px, py, pz)"),
        (("inputs", "pf", "four_vector"), {"pt": "sum(x)"}, "inputs.pf.four_vector.pt: "),
        (("inputs", "jet", "four_vector"), {"pt": "a", "eta": "b", "phi": "c", "mass": "0"}, "'four_vector' is for constituents"),
        (("export",), {"targets": ["CMSSW_12_3_X"]}, "export: target 'CMSSW_12_3_X' has an ONNX Runtime before 1.10"),
        (("export",), {"consumers": ["torchscrip"]}, "export.consumers.0: input should be 'onnx', 'torchscript', 'aot_"),
        (("export",), {"targets": ["ATLAS"]}, "export: unknown target 'ATLAS'; targets are CMSSW releases"),
        (("run",), "../elsewhere", "run: a name starts with a letter"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_its_section_and_the_fix(path: tuple[str, ...], value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(changed(*path, value=value))
    assert message in str(error.value)


def test_options_of_a_users_network_that_the_command_line_gives_as_text_are_numbers() -> None:
    given = {"width": "32", "rate": "0.5", "deep": "true", "widths": ["8", 16], "kind": "gelu", "note": "a: b: c"}
    options = ModelConfig(name="package:Network", options=given).options
    assert options == {"width": 32, "rate": 0.5, "deep": True, "widths": [8, 16], "kind": "gelu", "note": "a: b: c"}


def test_all_problems_are_listed_at_once() -> None:
    raw = {**changed("sed", value=1), "seed": -1}
    with pytest.raises(ConfigError, match=r"(?s)seed: .*sed: unknown"):
        load(raw)


def test_files_are_globbed_in_order_and_missing_ones_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b2.root", "b1.root", "s.root"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    files = resolve_files(load(raw_config({"background": "b*.root", "signal": str(tmp_path / "s*.root")})))
    assert files == {"background": ["b1.root", "b2.root"], "signal": [str(tmp_path / "s.root")]}
    twice = raw_config({"background": "b1.root", "signal": "s.root"})
    twice["samples"]["background"]["files"] = ["b*.root", "./b1.root"]
    with pytest.raises(ConfigError, match=r"samples.background.files: '.*b1.root' is named twice"):
        resolve_files(load(twice))
    with pytest.raises(ConfigError, match=r"samples.signal.files.0: no file 'b3.root' .*did you mean 'b[12].root'"):
        resolve_files(load(raw_config({"background": "b1.root", "signal": "b3.root"})))
    with pytest.raises(ConfigError, match=r"samples.signal.files.0: no file matches 'x\*.root'"):
        resolve_files(load(raw_config({"background": "b1.root", "signal": "x*.root"})))


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ("tracking", "https://me:hunter2@mlflow.cern.ch"),
        ("samples", "root://me:hunter2@host//store/x.root"),
        ("samples", "root://host//store/x.root?authz=hunter2"),
    ],
)
def test_a_password_in_the_config_is_refused_and_not_repeated(section: str, place: str) -> None:
    raw = raw_config({"background": "b.root", "signal": "s.root"})
    if section == "tracking":
        raw["tracking"] = {"uri": place}
    else:
        raw["samples"]["signal"]["files"] = [place]
    with pytest.raises(ConfigError, match="contains a password or token") as error:
        load(raw)
    assert "hunter2" not in str(error.value)
