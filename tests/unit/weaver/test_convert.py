"""Converted configs of weaver give the same tensors as weaver itself.

`tests/weaver/` has configs like the published ones. CYCLOTRAIN_WEAVER_CONFIGS names a folder with more, such as copies of
`data/` of jet-universe/particle_transformer and hqucms/weaver-core.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from benchmarks.ingest import WEAVER
from cyclotrain.config import load
from cyclotrain.contract import Layout
from cyclotrain.core.files import read_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import concatenate, iterate_split
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.runtimes.environments import uv
from cyclotrain.weaver.convert import Converted, Files, convert, main
from cyclotrain.weaver.expressions import Expressions, WeaverError
from support import REPOSITORY
from support.pages import blocks
from support.toys import skim_and_assemble

OURS = REPOSITORY / "tests/weaver"
MORE = "CYCLOTRAIN_WEAVER_CONFIGS"
CONFIGS = sorted([*OURS.glob("*.yaml"), *Path(os.environ.get(MORE, OURS / "none")).glob("*.yaml")])
N = 400


def convert_file(path: Path, **files: Any) -> Converted:
    return convert(yaml.safe_load(path.read_text()), run=path.stem, files=Files(**files))


# --- the reference: weaver on a small file with the branches of a config ---


@pytest.fixture(scope="session")
def weaver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weaver for PYTHONPATH. It runs on the NumPy, awkward, uproot and torch of this environment."""
    folder = tmp_path_factory.mktemp("weaver")
    try:
        uv("pip", "install", "--python", sys.executable, "--no-deps", "--target", str(folder), *WEAVER)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{', '.join(WEAVER)} cannot be installed here: {error.stderr.strip()[-300:]}")
    return folder


_INTEGERS = {
    r"part_pid": (211, -211, 130, 22, 11, -13, 2112, -2212, 321), r"\w+_charge": (-1, 0, 1), r"part_is\w+|pfcand_is\w+": (0, 1),
    r"jet_tightId|sample_isQCD|fj_is(?!QCD)\w+": (0, 1, 1), r"jet_no": (0, 1, 2), r"label": (0, 1),
    r"\w+(quality|lostInnerHits|VTX_ass|ntracks)": (0, 1, 2, 5),
}  # fmt: skip


def ntuple(path: Path, converted: Converted, n_events: int = N) -> str:
    """A file with the branches of the config: lists for each prefix with a length, and labels of which one is true."""
    random = np.random.default_rng(5)
    counts = {prefix: random.integers(0, 1.3 * length, n_events) for prefix, length in _lengths(converted).items()}
    truth = random.integers(0, len(converted.config["classes"]), n_events)
    names = np.array(converted.config["classes"])[truth]
    flavours = np.array([(5, 5, 1, 0), (5, 5, 2, 0), (4, 4, 0, 1), (4, 4, 0, 2), (0, 1, 0, 0), (0, 21, 0, 0), (0, 0, 0, 0)])
    columns: dict[str, Any] = {}
    for name in Recipe.from_config(load(converted.config), "sample").branches():
        list_counts = counts.get(name.partition("_")[0])
        n = n_events if list_counts is None else int(list_counts.sum())
        if choices := [values for pattern, values in _INTEGERS.items() if re.fullmatch(pattern, name)]:
            values = random.choice(np.array(choices[0], np.int32), n)
        elif name.startswith("label_"):
            values = (names == name).astype(np.float32)
        elif name == "fj_isQCD":
            values = np.char.find(names, "QCD") >= 0
        elif name == "event_no":
            values = random.permutation(n).astype(np.int64) + 10**9
        elif name in (flavour_branches := ["jet_hadronFlavour", "jet_partonFlavour", "jet_nBHadrons", "jet_nCHadrons"]):
            values = flavours[np.random.default_rng(6).integers(0, len(flavours), n), flavour_branches.index(name)]
        else:
            is_positive = re.search(r"pt$|energy|mass|pt_nopuppi", name)
            values = random.exponential(200 if list_counts is None else 9, n) + 0.1 if is_positive else random.normal(0, 1.5, n)
            values = values.astype(np.float32)
            if re.search(r"_d[xz0]", name):  # NaN becomes 0 in both
                values[::7] = np.nan
                values[1::50] = np.inf if "err" in name or "_dz" in name else 3
        columns[name] = values if list_counts is None else ak.unflatten(values, list_counts)
    with uproot.recreate(path) as file:
        tree = converted.config["samples"]["sample"]["tree"]
        file.mktree(tree, {k: ak.Array(v).type for k, v in columns.items()}).extend(columns)
    return str(path)


def _lengths(converted: Converted) -> dict[str, int]:
    prefixes = {"pf": ("part", "pfcand"), "sv": ("sv",)}
    sets = converted.config["inputs"].items()
    jagged = {name: features["max_length"] for name, features in sets if "max_length" in features}
    return {prefix: length for name, length in jagged.items() for prefix in prefixes[name]}


@dataclass
class Ours:
    """The tensors of Cyclotrain: features, masks and four-vectors by set, and labels."""

    features: dict[str, Any]
    masks: dict[str, Any]
    vectors: dict[str, Any]
    label: Any


def ours(converted: Converted, path: str, folder: Path) -> Ours:
    converted.config["samples"]["sample"] |= {"files": [path], "split": "train"}
    recipe = Recipe.from_config(load(converted.config), "sample")
    skim(recipe, [path], friends={}, skip_broken=False, shard=folder / "out.arrow", receipt=folder / "out.json")
    layout = Layout.from_dict(read_json(folder / "out.json")["layout"])
    parts = iterate_split([folder / "out.arrow"], layout, "train", normalisation={"sample": 1.0}, fold=None)
    examples = concatenate(list(parts), layout)
    inputs = FeatureLayer(layout)(next(iter(Batches(examples, layout, N))).branches)
    features, masks, vectors = ({name: x.numpy() for name, x in by_set.items()} for by_set in inputs)
    return Ours(features, masks, vectors, examples.label)


@pytest.fixture(scope="session")
def references(weaver: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """For each config a folder with a copy, its ntuple and weaver's tensors; weaver is started once for all."""
    folders = {config: tmp_path_factory.mktemp(config.stem) for config in CONFIGS}
    arguments = []
    for config, folder in folders.items():
        copy = folder / config.name
        # weaver cannot read this any more: its awkward has no such class
        copy.write_text(config.read_text().replace("awkward.JaggedArray.", "ak."))
        arguments += [str(copy), ntuple(folder / "ntuple.root", convert_file(config)), str(folder / "weaver.npz")]
    command = [sys.executable, str(OURS / "reference.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(weaver)})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folders


def compare(converted: Converted, tensors: Ours, *, theirs: dict[str, Any], raw: dict[str, Any]) -> int:
    """Assert that all tensors agree, and return the number of values. Padding is compared where weaver pads with 0 too."""
    n_values = 0
    for group, (name, places) in converted.groups.items():
        their_values = theirs[f"_{group}"]
        if their_values.ndim == 2:
            their_values = their_values[:, :, None]
        our_values = tensors.features[name][..., places]
        if our_values.ndim == 2:
            our_values, mask = our_values[:, None, :], np.ones((len(our_values), 1), bool)
        else:
            mask = tensors.masks[name]
            assert (mask.sum(1) > 1).any()
        their_values = their_values.transpose(0, 2, 1)[:, : mask.shape[1]]
        inside = mask if raw["inputs"][group].get("pad_mode") == "wrap" else np.ones_like(mask)
        # an infinite value without limits is 0 here
        their_values = np.where(np.isfinite(their_values), their_values, 0)
        np.testing.assert_allclose(our_values[inside], their_values[inside], rtol=1e-6, atol=1e-6, err_msg=group)
        n_values += our_values[inside].size
    for group, name in converted.vectors.items():
        pt, eta, phi, energy = np.moveaxis(tensors.vectors[name].astype(np.float64), -1, 0)
        our_values = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
        mask = np.broadcast_to(tensors.masks[name][:, None], our_values.shape)
        their_values = theirs[f"_{group}"][:, :, : mask.shape[2]]
        # pz from pt and eta: a difference in the last bit of eta is that of pz times eta
        np.testing.assert_allclose(our_values[mask], their_values[mask], rtol=2e-5, atol=1e-5, err_msg=group)
        n_values += mask.sum()
    for group in raw["inputs"]:
        if group.endswith("_mask"):
            mask = tensors.masks[group.removesuffix("_mask")]
            np.testing.assert_array_equal(mask, theirs[f"_{group}"][:, 0, : mask.shape[1]] == 1)
            assert not theirs[f"_{group}"][:, 0, mask.shape[1] :].any()
    return n_values


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_tensors_are_those_of_weaver(config: Path, references: dict[Path, Path], tmp_path: Path) -> None:
    raw, converted = yaml.safe_load(config.read_text()), convert_file(config)
    folder = references[config]
    copy, path, theirs = folder / config.name, str(folder / "ntuple.root"), dict(np.load(folder / "weaver.npz"))
    if copy.with_suffix(".auto.yaml").is_file():  # with the numbers that weaver fitted
        assert all(features["standardise"] for features in converted.config["inputs"].values())
        converted = convert_file(copy.with_suffix(".auto.yaml"))
        assert not any(features["standardise"] for features in converted.config["inputs"].values())
    if raw["labels"]["type"] == "custom":
        converted.config["label"] = "class_0"
    tensors = ours(converted, path, tmp_path)
    if raw["labels"]["type"] == "simple":
        np.testing.assert_array_equal(tensors.label, theirs["_label_"])
        assert len(set(tensors.label)) > 1
    assert 20 < len(tensors.label) <= N
    assert compare(converted, tensors, theirs=theirs, raw=raw) > 1000


# --- the conversion itself ---


def test_a_converted_config_is_assembled_and_flattened(tmp_path: Path) -> None:
    converted = convert_file(OURS / "fatjets.yaml")
    converted.config["samples"]["sample"]["files"] = [ntuple(tmp_path / "ntuple.root", converted, 20_000)]
    _, contract, _ = skim_and_assemble(converted.config, tmp_path)
    assert list(contract.classes) == converted.config["classes"]
    assert contract.flattening and contract.flattening.variables == ("fj_pt", "fj_sdmass")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_what_the_command_writes_is_a_config(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(config), "--data", "HToBB:/data/a/*.root", "HToBB:/data/b/*.root", "QCD:root://host//c/*.root"]) == 0
    written, errors = capsys.readouterr()
    loaded = load(yaml.safe_load(written))
    assert loaded.samples["HToBB"].files == ["/data/a/*.root", "/data/b/*.root"]
    assert loaded.samples["QCD"].files == ["root://host//c/*.root"]
    notes = [line.removeprefix("- ") for line in errors.splitlines() if line.startswith("- ")]
    assert notes and all(f"# - {note}" in written for note in notes)
    assert loaded == load(
        convert_file(config, train=["HToBB:/data/a/*.root", "HToBB:/data/b/*.root", "QCD:root://host//c/*.root"]).config
    )


def test_the_example_of_the_documentation_is_up_to_date() -> None:
    page = blocks(REPOSITORY / "docs/from-weaver.md")
    weaver, example = (yaml.safe_load(block.code) for block in page if block.language == "yaml")
    config = convert(weaver, run="run", files=Files()).config
    assert {key: config[key] for key in example} == example


def test_features_are_written_out_over_branches() -> None:
    converted = convert_file(OURS / "jets.yaml")
    pf = converted.config["inputs"]["pf"]
    assert list(converted.config["inputs"]) == ["pf"]
    assert pf["max_length"] == 12 and pf["valid"] == "part_energy > 0" and pf["standardise"] is False
    assert pf["features"][:4] == [
        "part_deta",
        "part_dphi",
        "clip((log(pt(part_px, part_py)) - 1.5) * 0.6, -5, 5)",
        "clip((log(pt(part_px, part_py) / jet_pt) + 4.5) * 0.6, -5, 5)",
    ]
    assert "clip(part_d0err, 0, 1)" in pf["features"] and "clip(`part_odd-name` - 0.5, -5, 5)" in pf["features"]
    assert converted.groups["pf_points"] == ("pf", [0, 1]) and converted.groups["pf_features"][1][-2] == 0
    assert converted.config["label"] == "where(label_QCD + label_Hbb + label_Tbl == 1, label_Hbb + 2 * label_Tbl, -1)"
    assert converted.config["evaluation"] == {"signal": "label_Hbb"}
    assert not any("never_used" in note for note in converted.notes)


def test_a_group_of_four_vectors_is_for_networks_that_use_them_and_no_feature() -> None:
    converted = convert_file(OURS / "jets.yaml")
    pf = converted.config["inputs"]["pf"]
    assert pf["four_vector"] == {"px": "part_px", "py": "part_py", "pz": "part_pz", "energy": "part_energy"}
    assert converted.vectors == {"pf_vectors": "pf"} and "part_pz" not in pf["features"]
    assert converted.config["model"] == {"name": "particle_transformer"}
    assert any(note.startswith("inputs.pf.four_vector: pf_vectors") for note in converted.notes)

    def model(**vectors: Any) -> tuple[str, list[str]]:
        inputs = {"pf_features": {"length": 8, "vars": ["pf_pt"]}, "pf_mask": {"length": 8, "vars": ["mask"]}, **vectors}
        one = convert(small(inputs=inputs, new_variables={"mask": "ak.ones_like(pf_pt)"}), run="run", files=Files())
        load(one.config)
        return one.config["model"]["name"], one.config["inputs"]["pf"]["features"]

    polar = ["pf_pt", "pf_eta", "pf_phi", "pf_mass"]
    assert model(pf_vectors={"length": 8, "vars": polar}) == ("particle_transformer", ["pf_pt"])
    assert model(pf_points={"length": 8, "vars": ["pf_eta", "pf_phi"]}) == ("deep_sets", ["pf_pt", "pf_eta", "pf_phi"])
    # incomplete, or scaled: only features
    assert model(pf_vectors={"length": 8, "vars": polar[:3]}) == ("deep_sets", polar[:3])
    assert model(pf_vectors={"length": 8, "vars": [["pf_pt", 0, 2], *polar[1:]]})[0] == "deep_sets"
    # the secondary vertices have none, and a network needs them of all constituents
    assert model(pf_vectors={"length": 8, "vars": polar}, sv_x={"length": 4, "vars": ["sv_pt"]})[0] == "deep_sets"


def test_files_for_validation_and_test_come_split_and_cut_as_weaver_does() -> None:
    converted = convert_file(OURS / "fatjets.yaml", train=["a:a*.root"], validation=["a:v*.root"], test=["a:t*.root"])
    samples = converted.config["samples"]
    assert {name: (sample["files"], sample["split"]) for name, sample in samples.items()} == {
        "a": (["a*.root"], "train"), "a_validation": (["v*.root"], "validation"), "a_test": (["t*.root"], "test"),
    }  # fmt: skip
    assert samples["a_test"]["selection"] == "(fj_pt > 200) & (event_no % 3 == 0)"
    assert "jet_tightId" in samples["a"]["selection"] == samples["a_validation"]["selection"]
    assert "selection" not in converted.config and not any("test_time_selection" in note for note in converted.notes)
    assert converted.config["define"] == {"is_far": "(abs(fj_eta) > 2) & ~(jet_tightId != 0)"}
    with pytest.raises(WeaverError, match="no files to train with"):
        convert_file(OURS / "fatjets.yaml", test=["t*.root"])
    alone = convert_file(OURS / "fatjets.yaml", train=["a*.root"])
    assert any(note.startswith("test_time_selection: ") for note in alone.notes)
    assert alone.config["samples"]["sample"] == {"files": ["a*.root"], "tree": "deepntuplizer/tree"}


def small(**changes: Any) -> dict[str, Any]:
    inputs = {"pf_features": {"length": 8, "vars": [["pf_pt", 1, 2]]}}
    return {"inputs": inputs, "labels": {"type": "simple", "value": ["is_a", "is_b"]}, **changes}


def notes(**changes: Any) -> str:
    return "\n".join(convert(small(**changes), run="run", files=Files()).notes)


def test_what_is_left_out_is_listed() -> None:
    assert "selecton: not a key of weaver" in notes(selecton="a > 1")
    assert "file_magic: no counterpart" in notes(file_magic={"is_a": {"a.*": 1}})
    assert "bucketing: no counterpart" in notes(bucketing={"var": "n", "bins": 4})
    group = {"length": 8, "pad": 1, "vars": ["pf_pt", "odd", "n_pf", ["pf_x", 0, 1, -5, 5, -9]]}
    listed = notes(inputs={"pf": group}, new_variables={"odd": "np.cbrt(pf_pt)", "n_pf": "ak.num(pf_pt)"})
    assert "inputs.pf.pad: not a key of weaver" in listed
    assert "inputs.pf.odd: left out: new_variables.odd: 'np.cbrt' has no counterpart" in listed
    assert "inputs.pf.n_pf: left out: 'num' is for selection" in listed
    assert "in weaver it is the pad_value of pf_x" in listed
    assert "weights.reweight_threshold" in notes(weights={"reweight_vars": {"x": [0, 1]}, "reweight_threshold": 20})
    assert "'flat+' is neither flat nor ref" in notes(weights={"reweight_vars": {"x": [0, 1]}, "reweight_method": "flat+"})
    assert "weights.odd: not a key" in notes(weights={"use_precomputed_weights": True, "weight_branches": ["w"], "odd": 1})
    assert "numbers used as conditions" in notes(selection="trigger & (n > 2)")
    assert "labels.value.other: Cyclotrain has one label" in notes(labels={"type": "custom", "value": {"y": "a", "other": "b"}})
    assert "class_weights: [1, 2] in weaver" in notes(weights={"reweight_vars": {"x": [0, 1]}, "class_weights": [1, 2]})
    assert "in weaver only the mask" in notes(inputs={
        "pf_f": {"length": 8, "vars": ["pf_pt"]}, "pf_mask": {"length": 8, "vars": ["pf_good"]},
    })  # fmt: skip
    assert "`auto` is the median" in notes(preprocess={"method": "auto"}, inputs={"pf": {"length": 8, "vars": ["pf_pt"]}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"selection": "np.isclose(a, b)"}, "selection: 'np.isclose' has no counterpart, in 'np.isclose(a, b)' at position 1"),
        ({"selection": "a >"}, "selection: not an expression"),
        ({"selection": "flags & 4"}, "'&' and '|' on bits"),
        ({"selection": "np.sum(x) > 2"}, "'np.sum' has no counterpart with these arguments"),
        ({"selection": "np.fmax(a, b) > 2"}, "'np.fmax' has no counterpart"),
        ({"selection": "aux_training_ > 0"}, "'aux_training_' cannot be a branch"),
        ({"selection": "pi > 2"}, "'pi' cannot be a branch"),
        ({"new_variables": {"a": "b + 1", "b": "2 * a"}}, "new_variables: defined by themselves: "),
        ({"new_variables": {"is_a": "__import__('os')"}}, "'__import__' has no counterpart"),
        ({"labels": None}, "labels: neither"),
        ({"inputs": {}}, "inputs: there are none"),
        ({"inputs": {"pf": {"length": 8}}}, "inputs.pf: it has no `vars`"),
        ({"weights": {"use_precomputed_weights": True}}, "weights: `weight_branches` is missing"),
        ({"inputs": {"pf": {"length": 8, "vars": [["pf_pt", "much"]]}}}, "inputs.pf.vars: ['pf_pt', 'much']"),
        ({"inputs": {"pf": {"length": 8, "vars": ["odd"]}}, "new_variables": {"odd": "np.cbrt(x)"}}, "none of its variables"),
    ],
)
def test_an_essential_part_without_a_counterpart_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WeaverError, match=re.escape(message)):
        convert(small(**changes), run="run", files=Files())


def test_the_command_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(small(selection="np.isclose(a, b)")))
    assert main([str(tmp_path / "a.yaml")]) == 1 and "np.isclose" in capsys.readouterr().err
    assert main([str(tmp_path / "b.yaml")]) == 1 and "b.yaml" in capsys.readouterr().err


def test_labels_weights_and_sets() -> None:
    custom = small(labels={"type": "custom", "value": {"truth": "np.where(is_b, 1, 0)"}})
    converted = convert(custom, run="run", files=Files(), classes=["a", "b"])
    assert converted.config["classes"] == ["a", "b"] and converted.config["label"] == "where(is_b != 0, 1, 0)"
    assert load(convert(custom, run="run", files=Files()).config).classes == ["class_0", "class_1"]
    weights = {"use_precomputed_weights": True, "weight_branches": ["w", "class_weight"]}
    assert convert(small(weights=weights), run="run", files=Files()).config["weight"] == "w * class_weight"
    by_reference = {"reweight_method": "ref", "reweight_vars": {"x": [0, 1]}, "reweight_classes": ["is_a", "is_b"]}
    converted = convert(small(weights=by_reference, branch_magic={"is_": "was_"}), run="run", files=Files())
    assert converted.config["flatten"] == {"variables": {"x": [0, 1]}, "to": "is_a"}
    assert converted.config["label"] == "where(was_a + was_b == 1, was_b, -1)"
    inputs = {
        "pf_a": {"length": 8, "vars": ["pf_pt"]}, "cands": {"length": 8, "vars": ["pf_pt", "pf_eta"]},
        "pf_b": {"length": 9, "vars": ["sv_pt"]}, "jet": {"length": 1, "vars": ["jet_pt"]},
    }  # fmt: skip
    converted = convert(small(inputs=inputs), run="run", files=Files())
    lengths = {name: features.get("max_length") for name, features in converted.config["inputs"].items()}
    assert lengths == {"pf_a": 8, "pf_b": 9, "jet": None}
    assert converted.groups["cands"] == ("pf_a", [0, 1])


def test_groups_of_one_collection_are_one_set_by_their_names() -> None:
    tracks = {"track_ef": ["pca"], "track_ef_idx": ["index_1"], "track_ef_mask": ["is_track"], "lone_mask": ["is_lone"]}
    inputs = {name: {"length": 625, "vars": variables} for name, variables in tracks.items()}
    converted = convert(small(inputs=inputs, new_variables={"is_track": "ak.ones_like(pca)"}), run="run", files=Files())
    assert converted.groups == {"track_ef": ("track", [0]), "track_ef_idx": ("track", [1])}
    assert converted.config["inputs"]["track"]["valid"] == "(pca != 0) | (index_1 != 0)"
    assert any(note.startswith("inputs.lone_mask: no group with its prefix") for note in converted.notes)


def test_a_constituent_is_recognised_by_a_branch_of_its_own_set() -> None:
    def valid(variables: list[str], **new: str) -> str:
        inputs = {"pf_features": {"length": 8, "vars": variables}, "pf_mask": {"length": 8, "vars": ["mask"]}}
        variables = {"mask": "ak.ones_like(jet_pfcand_deta)", **new}  # type: ignore[assignment]
        converted = convert(
            small(inputs=inputs, new_variables=variables, branch_magic={"_deta": "_eta"}), run="run", files=Files()
        )
        load(converted.config)
        return str(converted.config["inputs"]["pf"]["valid"])

    assert valid(["x"], x="np.log(jet_pt / jet_pfcand_pt)") == "jet_pfcand_pt > 0"
    assert valid(["x"], x="np.hypot(jet_pfcand_px, jet_pfcand_py)") == "pt(jet_pfcand_px, jet_pfcand_py) > 0"
    assert valid(["x", "jet_pfcand_deta"], x="np.log(jet_pt)") == "jet_pfcand_eta != 0"
    assert valid(["jet_pfcand_deta", "jet_pfcand_b-tag"]) == "(jet_pfcand_eta != 0) | (`jet_pfcand_b-tag` != 0)"
    assert valid(["jet_pfcand_pt"], mask="jet_pfcand_pt > 3") == "(jet_pfcand_pt > 0) & ((jet_pfcand_pt > 3) != 0)"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("np.log(p)", "log(pt(x, y))"),
        ("aux_genpart_pt > 0", "aux_genpart_pt > 0"),
        ("math.pi * abs(x)", "pi * abs(x)"),
        ("1-x**2", "1 - x ** 2"),
        ("x[x > 0]", "x[x > 0]"),
        ("x[:, 0]", "x[0]"),
        ("x[:, :3]", "leading(x, 3)"),
        ("ak.sum(x, axis=1) / ak.num(x)", "sum(x) / num(x)"),
        ("ak.any(flag, -1)", "any(flag != 0)"),
        ("ak.max(x, axis=-1)", "x[argmax(x)]"),
        ("ak.firsts(x)", "first(x)"),
        ("np.logical_and(x > 1, flag)", "(x > 1) & (flag != 0)"),
        ("p4.eta", "eta(x, y, z)"),
        ("p4.mass", "mass(x, y, z, e)"),
        ("(x & (y > 1)) | ~(z < 2)", "(x != 0) & (y > 1) | ~(z < 2)"),
    ],
)
def test_expressions(theirs: str, ours: str) -> None:
    assert Expressions({"p": "np.hypot(x, y)", "p4": "_p4_from_pxpypze(x, y, z, e)", "x": "x"}).inlined(theirs) == ours
