"""The network behind the JSON that `WeaverInterface` of FCCAnalyses and k4MLJetTagger reads."""

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.config import load
from cyclotrain.contract import Contract, Layout
from cyclotrain.contract.results import FCCANALYSES
from cyclotrain.core.errors import InputError
from cyclotrain.deploy.bundle import Parts, bundle
from cyclotrain.deploy.consumers import check_consumers
from cyclotrain.deploy.reference import write_reference
from cyclotrain.export.cmssw_preprocess import preprocess_json
from cyclotrain.export.to_onnx import export_for_weaver_interface
from cyclotrain.export.trial import try_network
from cyclotrain.export.weaver_interface import Constituents, prepare, variable_names, variables, weaver_json
from cyclotrain.ingest.preflight import check_inputs
from cyclotrain.ingest.sources import Sources
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.parity.artefacts import Artefact
from support import networks
from support.bundles import card_and_plots
from support.toys import raw_config, skim_and_assemble, toys, with_regression, without_classes
from support.trained import Trained

PF = {
    "max_length": 6,
    "valid": "pf_pt > 0",
    "features": ["log(pf_pt / jet_pt)", "pf_eta", "delta_phi(pf_phi, jet_phi)", "abs(pf_charge)"],
}
VECTORS = {"four_vector": {"pt": "pf_pt", "eta": "pf_eta", "phi": "pf_phi", "mass": "0.14"}}


def config_of(files: dict[str, str], **changes: Any) -> dict[str, Any]:
    return raw_config(files, **{"inputs": {"pf": PF}, "training": {"epochs": 1, "batch_size": 128}, **changes})


def trained_in(folder: Path, **changes: Any) -> Trained:
    return Trained(*skim_and_assemble(config_of(toys(folder, n=400), **changes), folder), folder / "out")


def exported(trained: Trained, folder: Path) -> Artefact:
    paths = folder / "network.onnx", folder / "preprocess.json"
    export_for_weaver_interface(trained.model, targets=trained.config.export.targets, path=paths[0], preprocess=paths[1])
    return Artefact(FCCANALYSES, str(paths[0]), 1e-5, str(paths[1]))


@pytest.fixture(scope="module")
def of_constituents(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained_in(tmp_path_factory.mktemp("of_constituents"))


@pytest.fixture(scope="module")
def network(of_constituents: Trained, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return exported(of_constituents, tmp_path_factory.mktemp("network"))


def test_it_gives_the_models_numbers_on_every_case(of_constituents: Trained, network: Artefact) -> None:
    result = of_constituents.verify(others=[network])
    assert result.passed, result.failures
    sessions = result.sessions(FCCANALYSES)
    assert sessions and all(session.max_abs_all_cases <= 1e-5 and session.cases > 50 for session in sessions)
    assert 0 <= result.figures()["parity.fccanalyses"].value <= 1e-6  # type: ignore[operator]


@pytest.mark.parametrize(
    "model",
    [
        {"name": "transformer", "options": {"width": 16, "heads": 2, "layers": 1}},
        {"name": "particle_net", "options": {"neighbours": 3, "layers": [[8, 8]], "pool": 8, "head": [8]}},
        {"name": "particle_transformer", "options": {"embedding": [16, 16], "heads": 2, "layers": 1, "pair": [8], "head": [16]}},
    ],
    ids=lambda model: model["name"],
)
def test_other_networks_do_too(model: dict[str, Any], tmp_path: Path) -> None:
    takes_vectors = model["name"].startswith("particle")
    trained = trained_in(tmp_path, model=model, inputs={"pf": {**PF, **(VECTORS if takes_vectors else {})}})
    result = trained.verify(others=[exported(trained, tmp_path)])
    assert result.passed, result.failures
    content = json.loads((tmp_path / "preprocess.json").read_text())
    assert ("pf_vectors" in content["input_names"]) == takes_vectors


@pytest.mark.parametrize("has_classes", [True, False])
def test_all_outputs_stand_side_by_side_as_only_the_first_is_read(has_classes: bool, tmp_path: Path) -> None:
    raw = with_regression(config_of(toys(tmp_path, n=400)))
    raw = raw if has_classes else without_classes(raw)
    trained = Trained(*skim_and_assemble(raw, tmp_path), tmp_path / "out")
    network = exported(trained, tmp_path)
    result = trained.verify(others=[network])
    assert result.passed, result.failures
    (output,) = ort.InferenceSession(network.path, providers=["CPUExecutionProvider"]).get_outputs()
    scores = json.loads((tmp_path / "preprocess.json").read_text())["output_names"]
    assert (output.name, output.shape) == ("outputs", ["batch", len(scores)]) and tuple(scores) == trained.contract.columns


@pytest.mark.parametrize("key", ["median", "norm_factor", "replace_inf_value", "lower_bound"])
def test_parity_notices_a_wrong_number(key: str, of_constituents: Trained, network: Artefact, tmp_path: Path) -> None:
    assert network.preprocess
    content = json.loads(Path(network.preprocess).read_text())
    info = content["pf_features"]["var_infos"]["log_pf_pt_jet_pt"]
    info[key] = {"lower_bound": -0.1}.get(key, info[key] + 0.5)
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    result = of_constituents.verify(others=[Artefact(FCCANALYSES, network.path, 1e-5, str(tmp_path / "wrong.json"))])
    assert {failure.artefact for failure in result.failures} == {FCCANALYSES}


class ByHand:
    """WeaverInterface value by value: what its source does for one jet, and where it throws."""

    def __init__(self, content: dict[str, Any], names: list[str]) -> None:
        self.content, self.names = content, names

    def run(self, jet: list[list[float]]) -> dict[str, Any]:
        inputs = {}
        for group in self.content["input_names"]:
            settings = self.content[group]
            fixed = settings.get("var_length")
            low, high = (fixed, fixed) if fixed is not None else (settings["min_length"], settings["max_length"])
            shape = [1, len(settings["var_names"]), fixed if fixed is not None else -1]
            values: list[float] = []
            for name in settings["var_names"]:
                given = [1.0] * len(jet[0]) if "_mask" in name else jet[self.names.index(name)]
                values += self.center_norm_pad(given, settings["var_infos"][name], low, high)
            if shape[0] * shape[1] * shape[2] != len(values):
                raise RuntimeError(f"Input array '{group}' has a wrong size of {len(values)}")
            inputs[group] = np.array(values, np.float32).reshape(shape)
        return inputs

    @staticmethod
    def center_norm_pad(given: list[float], info: dict[str, float], low: int, high: int) -> list[float]:
        f = np.float32
        pad, lower, upper = f(info["pad"]), f(info["lower_bound"]), f(info["upper_bound"])
        if lower > pad or pad > upper:
            raise RuntimeError("Pad value not within (min, max) range")
        out = [pad] * min(max(len(given), low), high)
        for i in range(min(len(given), len(out))):
            x = f(given[i]) if math.isfinite(f(given[i])) else f(info["replace_inf_value"])
            out[i] = min(max((x - f(info["median"])) * f(info["norm_factor"]), lower), upper)
        return out


NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([math.nan, math.inf, -math.inf, 1e33, 0.0]))


@given(jet=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8), length=st.integers(1, 6), median=st.floats(-10, 10))
def test_the_arithmetic_is_that_of_weaver_interface(jet: list[tuple[float, float]], length: int, median: float) -> None:
    info = {"median": median, "norm_factor": 1.7, "replace_inf_value": 1.5, "lower_bound": -5, "upper_bound": 5, "pad": 0.25}
    one = {"median": 0, "norm_factor": 1, "replace_inf_value": 0, "lower_bound": 0, "upper_bound": 1, "pad": 0}
    content = {
        "input_names": ["pf_features", "pf_mask"],
        "pf_features": {"var_names": ["y", "x"], "var_infos": {"x": info, "y": {**info, "median": 0}}, "var_length": length},
        "pf_mask": {"var_names": ["pf_mask"], "var_infos": {"pf_mask": one}, "var_length": length},
    }
    x, y = ([constituent[i] for constituent in jet] for i in (0, 1))
    values = {name: np.array([[*column, 7.0]], np.float32) for name, column in (("x", x), ("y", y))}
    prepared = prepare(content, Constituents(values, np.array([len(jet)])))
    with np.errstate(over="ignore"):
        expected = ByHand(content, ["x", "y"]).run([x, y])
    for group in content["input_names"]:
        np.testing.assert_array_equal(prepared[group], expected[group])


def test_the_json_of_cmssw_is_refused_as_by_weaver_interface(of_constituents: Trained) -> None:
    content = preprocess_json(of_constituents.contract)
    jet = [[1.0, 2.0]] * 4
    with pytest.raises(RuntimeError, match="wrong size"):
        ByHand(content, list(content["pf"]["var_names"])).run(jet)
    values = {name: np.ones((1, 2), np.float32) for name in content["pf"]["var_names"]}
    with pytest.raises(ValueError, match="without 'var_length'"):
        prepare(content, Constituents(values, np.array([2])))


def test_a_padding_beyond_the_bounds_is_refused(of_constituents: Trained) -> None:
    content = weaver_json(of_constituents.contract)
    content["pf_features"]["var_infos"]["pf_eta"]["pad"] = 1e6
    values = {name: np.ones((1, 2), np.float32) for name in content["pf_features"]["var_names"]}
    with pytest.raises(ValueError, match="takes no 'pad' that is not within the bounds"):
        prepare(content, Constituents(values, np.array([2])))


def test_the_bundle_gives_the_answers_of_the_reference(of_constituents: Trained, network: Artefact, tmp_path: Path) -> None:
    contract = of_constituents.contract
    write_reference(contract, of_constituents.onnx, shards=of_constituents.shards, folder=tmp_path / "reference")
    assert network.preprocess
    files = {"onnx": of_constituents.onnx, "fccanalyses_network": network.path, "fccanalyses_preprocess": network.preprocess}
    bundle(contract, ["fccanalyses"], Parts(files, tmp_path / "reference", *card_and_plots(tmp_path)), tmp_path / "deploy")
    folder = tmp_path / "deploy/fccanalyses"
    readme = (folder / "README.md").read_text()
    # the variables of the README, computed from the branches of the reference vectors
    table = dict(re.findall(r"^\| `(\w+)` \| `(.+)` \|$", readme, re.MULTILINE))
    assert table == {name: text for text, name in variable_names(contract.layout).items()}
    assert 'df.Define("signal", "FCCAnalyses::JetFlavourUtils::get_weight(MVAVec, 1)")' in readme
    interface = ByHand(json.loads((folder / "preprocess.json").read_text()), list(table))
    session = ort.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    layer = FeatureLayer(contract.layout)
    examples = json.loads((tmp_path / "deploy/reference/reference.json").read_text())["examples"]
    for example in examples:
        branches = {branch: torch.tensor([values or [0.0]]) for branch, values in example["inputs"].items()}
        given = variables(layer, contract.layout, branches)
        jet = [given.values[name][0, : given.n[0]].tolist() for name in table]
        (answer,) = session.run(None, interface.run(jet))
        np.testing.assert_allclose(answer[0], example["probabilities"], atol=1e-6)
    assert len(examples) > 100


def test_constituents_that_are_not_valid_are_left_out(of_constituents: Trained) -> None:
    layout = of_constituents.contract.layout
    pt = [[1.0, 0.0, 3.0, 4.0, 0.0, 6.0, 7.0, 8.0]]  # six slots, of which two are not valid
    branches = {branch: torch.tensor(pt) if name else torch.ones(1, 1) for branch, name in layout.inputs.items()}
    given = variables(FeatureLayer(layout), layout, branches)
    assert given.n.tolist() == [4] and given.values["pf_eta"][0, :4].tolist() == [1.0, 3.0, 4.0, 6.0]


def layout_of(files: dict[str, str], **changes: Any) -> Layout:
    config = load(config_of(files, **changes))
    return check_inputs(config, Sources.from_config(config))


def test_a_model_that_weaver_interface_cannot_take_is_refused_in_the_plan(toy_files: dict[str, str]) -> None:
    def refused(inputs: dict[str, Any]) -> str:
        with pytest.raises(InputError) as error:
            check_consumers(["cpp", "fccanalyses"], layout_of(toy_files, inputs=inputs))
        return str(error.value)

    check_consumers(["cpp", "fccanalyses"], layout_of(toy_files))
    scalars = refused({"pf": PF, "jet": {"features": ["jet_mass"]}})
    assert "features of constituents only, and inputs.jet has one value for each example" in scalars
    assert "inputs.pf has 'sort_by': remove it" in refused({"pf": {**PF, "sort_by": "pf_pt"}})
    layout = layout_of(toy_files)
    with pytest.raises(InputError, match=r"there are 2 \(pf, sv\): put them into one set"):
        check_consumers(["fccanalyses"], dataclasses.replace(layout, sets={**layout.sets, "sv": layout.sets["pf"]}))


def test_a_network_to_which_gaps_matter_is_refused_before_its_training(of_constituents: Trained) -> None:
    def attempt(network: type) -> None:
        config = of_constituents.config
        model = config.model.model_copy(update={"name": f"support.networks:{network.__name__}", "options": {}})
        export = config.export.model_copy(update={"consumers": ["fccanalyses"]})
        try_network(of_constituents.contract, of_constituents.shards, model=model, export=export, tolerance=1e-5)

    attempt(networks.Transformer)
    with pytest.raises(InputError, match="if a constituent that is not `valid` is left out, as FCCAnalyses does"):
        attempt(networks.Elman)


def test_names_of_variables_are_distinct_identifiers(of_constituents: Trained) -> None:
    texts = ("a - b", "a_b", "a / b", "pf_mask", "1 / a", "lambda", "pfcand_erel_log", "µ")
    assert names_of(of_constituents.contract, texts) == [
        "a_b_2", "a_b", "a_b_3", "pfmask", "feature_1_a", "feature_lambda", "pfcand_erel_log", "feature_",
    ]  # fmt: skip


def names_of(contract: Contract, texts: tuple[str, ...]) -> list[str]:
    fields = contract.to_dict()["layout"]
    fields["sets"]["pf"] |= {"features": texts}
    return list(variable_names(Layout.from_dict(fields)).values())
