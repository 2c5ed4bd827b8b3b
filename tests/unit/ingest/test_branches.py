"""Structs, arrays of a fixed size and names with a colon are read as plain branches are, from the plan to the scores."""

import json
import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
import uproot

from cyclotrain.config import load
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.ingest.joined import Friend, open_joined
from cyclotrain.ingest.ntuples import branch_names, depths, open_tree, read_batches, read_columns
from cyclotrain.ingest.preflight import check_inputs
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from cyclotrain.ingest.sources import Sources
from support.real_files import real_file
from support.toys import skim_and_assemble
from support.trained import Trained

N = 600


def events(seed: int) -> dict[str, Any]:
    """Events with a struct in a struct, a list of structs, and an array of three numbers."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 6, N)
    hits = {
        "energy": ak.unflatten(random.exponential(1 + seed, counts.sum()).astype(np.float32), counts),
        "time": ak.unflatten(random.normal(0, 1, counts.sum()), counts),
    }
    return {
        "run": np.ones(N, np.uint32),
        "luminosityBlock": np.ones(N, np.uint32),
        "event": np.arange(N, dtype=np.uint64) + N * seed,
        "x": random.normal(9, 1, N).astype(np.float32),
        "vertex": {"x": random.normal(seed, 1, N).astype(np.float32), "fit": {"chi2": random.exponential(1, N)}},
        "hit": hits,
        "pull": ak.to_regular(ak.Array(random.normal(seed, 1, (N, 3)).astype(np.float32))),
    }


def record(columns: dict[str, Any]) -> Any:
    members = {name: record(column) if isinstance(column, dict) else ak.Array(column) for name, column in columns.items()}
    return ak.zip(members, depth_limit=None if members.keys() == {"energy", "time"} else 1)


def flat(columns: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`vertex.x` for the member of a struct."""
    columns_by_name = {}
    for name, column in columns.items():
        columns_by_name |= flat(column, f"{prefix}{name}.") if isinstance(column, dict) else {f"{prefix}{name}": column}
    return columns_by_name


def write_rntuple(path: Path, columns: dict[str, Any]) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", record(columns))


def write_ttree(path: Path, columns: dict[str, Any]) -> None:
    branches = flat(columns)
    kinds = {name: ak.Array(column).type.content for name, column in branches.items()}
    kinds["pull"] = np.dtype((np.float32, (3,)))
    branches["pull"] = ak.to_numpy(branches["pull"])
    with uproot.recreate(path) as file:
        file.mktree("Events", kinds).extend(branches)


def config(folder: Path) -> dict[str, Any]:
    return {
        "run": "structs",
        "samples": {name: {"files": [str(folder / f"{name}.root")], "label": name} for name in ("light", "heavy")},
        "classes": ["light", "heavy"],
        "define": {"first_pull": "pull[0]"},
        "selection": "(first_pull > -2) & (`vertex.fit.chi2` < 3)",
        "weight": "1 + abs(pull[2])",
        "inputs": {
            "vertex": {"features": ["`vertex.x`", "log(`vertex.fit.chi2`)", "pull[1] - pull[2]", "log(`hit.energy`[0])"]},
            "hits": {"max_length": 4, "valid": "`hit.energy` > 0", "features": ["log(`hit.energy`)", "`hit.time`"]},
            "pulls": {"max_length": 3, "valid": "pull != 0", "features": ["pull"]},
        },
        "baseline": {"features": ["`vertex.x`", "pull[1]", "sum(pull[pull > 0])"]},
        "model": {"name": "deep_sets", "options": {"phi": [8], "rho": [8]}},
        "training": {"epochs": 1},
    }


@pytest.fixture(scope="module", params=[write_ttree, write_rntuple], ids=["TTree", "RNTuple"])
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for seed, name in enumerate(("light", "heavy")):
        request.param(folder / f"{name}.root", events(seed))
    return folder


def test_structs_and_arrays_pass_the_plan_and_have_the_values_of_plain_columns(folder: Path, tmp_path: Path) -> None:
    settings = load(config(folder))
    check_inputs(settings, Sources.from_config(settings))
    recipe, path = Recipe.from_config(settings, "heavy"), str(folder / "heavy.root")
    skim(recipe, [path], friends={}, skip_broken=False, shard=tmp_path / "shard.arrow", receipt=tmp_path / "receipt.json")
    with pa.memory_map(str(tmp_path / "shard.arrow")) as file:
        shard = pa.ipc.open_file(file).read_all()
    expected = flat(events(1))
    pull = ak.to_numpy(expected["pull"])
    keep = (pull[:, 0] > -2) & (expected["vertex.fit.chi2"] < 3)
    assert 0 < keep.sum() < N
    np.testing.assert_array_equal(shard["scalar:vertex.x"].to_numpy(), expected["vertex.x"][keep])
    np.testing.assert_array_equal(
        shard["scalar:vertex.fit.chi2"].to_numpy(), expected["vertex.fit.chi2"][keep].astype(np.float32)
    )
    np.testing.assert_array_equal(shard["scalar:pull[2]"].to_numpy(), pull[keep, 2])
    first = ak.to_numpy(ak.fill_none(ak.firsts(expected["hit.energy"]), np.nan))
    np.testing.assert_array_equal(shard["scalar:hit.energy[0]"].to_numpy(), first[keep])
    np.testing.assert_allclose(shard["weight"].to_numpy(), 1 + abs(pull[keep, 2]), rtol=1e-6)
    np.testing.assert_array_equal(shard["observer:pull[1]"].to_numpy(), pull[keep, 1])
    np.testing.assert_allclose(shard["observer:sum(pull[pull > 0])"].to_numpy(), np.maximum(pull[keep], 0).sum(axis=1), rtol=1e-5)
    sets = {name: ak.from_arrow(shard[f"set:{name}"]) for name in ("hits", "pulls")}
    assert sets["hits"]["hit.energy"].tolist() == expected["hit.energy"][keep].tolist()
    assert sets["hits"]["hit.time"].tolist() == ak.values_astype(expected["hit.time"], np.float32)[keep].tolist()
    assert sets["pulls"]["pull"].tolist() == pull[keep].tolist()


def test_the_structs_of_a_list_are_examples(folder: Path, tmp_path: Path) -> None:
    raw = {
        **config(folder), "object": "hit", "define": {}, "selection": "`hit.energy` > pull[0]", "weight": "1",
        "inputs": {"hit": {"features": ["`hit.energy`", "`hit.time`", "`vertex.x`", "pull[2]"]}},
        "baseline": {}, "model": {"name": "mlp"},
    }  # fmt: skip
    recipe, path = Recipe.from_config(load(raw), "heavy"), str(folder / "heavy.root")
    skim(recipe, [path], friends={}, skip_broken=False, shard=tmp_path / "shard.arrow", receipt=tmp_path / "receipt.json")
    with pa.memory_map(str(tmp_path / "shard.arrow")) as file:
        shard = pa.ipc.open_file(file).read_all()
    expected = flat(events(1))
    keep = expected["hit.energy"] > ak.to_numpy(expected["pull"])[:, 0]
    assert 0 < ak.sum(keep) < ak.count(keep)
    assert shard["scalar:hit.energy"].to_pylist() == ak.flatten(expected["hit.energy"][keep]).tolist()
    pull = np.repeat(ak.to_numpy(expected["pull"])[:, 2], ak.num(expected["hit.energy"]))
    assert shard["scalar:pull[2]"].to_pylist() == pull[ak.to_numpy(ak.flatten(keep))].tolist()
    repeated = ak.broadcast_arrays(expected["vertex.x"], expected["hit.energy"])[0]
    assert shard["scalar:vertex.x"].to_pylist() == ak.flatten(repeated[keep]).tolist()


def test_a_friend_tree_of_structs_and_arrays_is_that_of_plain_branches(tmp_path: Path) -> None:
    friends = {}
    for kind, write in (("ttree", write_ttree), ("rntuple", write_rntuple)):
        folder = tmp_path / kind
        folder.mkdir()
        for seed, name in enumerate(("light", "heavy")):
            write(folder / f"{name}.root", events(seed))
    trained = Trained(*skim_and_assemble(config(tmp_path / "rntuple"), tmp_path), tmp_path / "out")
    for kind in ("ttree", "rntuple"):
        ntuple = Ntuple(str(tmp_path / kind / "heavy.root"), "Events", selection=["pull[0] > 0"])
        score(ntuple, {str(trained.onnx): file_sha256(trained.onnx)}, friend=tmp_path / f"{kind}.root", threads=1)
        with uproot.open(tmp_path / f"{kind}.root") as file:
            friends[kind] = ak.to_numpy(file["Events"].arrays()["structs_heavy"])
            assert json.loads(file["cyclotrain"])["selected"] == (ak.to_numpy(events(1)["pull"])[:, 0] > 0).sum()
    np.testing.assert_array_equal(friends["ttree"], friends["rntuple"])
    assert len(np.unique(friends["ttree"])) > 200


def test_a_member_of_a_struct_is_not_taken_for_a_branch_of_its_name(tmp_path: Path) -> None:
    write_rntuple(tmp_path / "a.root", events(2))
    with open_tree(str(tmp_path / "a.root"), "Events") as tree:
        columns = read_columns(tree, ["x", "vertex.x"], range(100, 250))
    for name in columns:
        np.testing.assert_array_equal(columns[name], flat(events(2))[name][100:250])


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        ("vertex", "branch 'vertex' of tree 'Events' is a struct; name one of its members: vertex.x, vertex.fit"),
        ("vertex.fit", "branch 'vertex.fit' of tree 'Events' is a struct; name one of its members: vertex.fit.chi2"),
        ("hit", "branch 'hit' of tree 'Events' is a struct; name one of its members: hit.energy, hit.time"),
        ("hit.enrgy", "has no branch 'hit.enrgy'; nearest names: hit.energy"),
    ],
)
def test_a_whole_struct_is_refused_with_its_members(branch: str, message: str, tmp_path: Path) -> None:
    write_rntuple(tmp_path / "light.root", events(0))
    raw = {**config(tmp_path), "inputs": {"vertex": {"features": [f"`{branch}`"]}}, "model": {"name": "mlp"}}
    raw["samples"] = {"light": {**raw["samples"]["light"], "label": "pull[0] > 0"}}
    settings = load(raw)
    with pytest.raises(InputError, match=re.escape(message)):
        check_inputs(settings, Sources.from_config(settings))


def test_an_array_in_a_set_of_the_example_is_refused_in_the_plan(folder: Path) -> None:
    raw = {**config(folder), "inputs": {"pulls": {"features": ["pull"]}}, "model": {"name": "mlp"}}
    settings = load(raw)
    with pytest.raises(InputError, match=r"branch 'pull' has a list or an array per example; give inputs\.pulls 'max_length'"):
        check_inputs(settings, Sources.from_config(settings))


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("x[0]", "'x[0]': branch 'x' has one number per entry, and only a list has an index"),
        ("pul[0]", "has no branch 'pul'; nearest names: pull"),
    ],
)
def test_an_element_of_no_list_is_refused_in_the_plan(feature: str, message: str, folder: Path) -> None:
    settings = load({**config(folder), "inputs": {"pulls": {"features": [feature]}}, "model": {"name": "mlp"}})
    with pytest.raises(InputError, match=re.escape(message)):
        check_inputs(settings, Sources.from_config(settings))


def test_an_array_of_arrays_is_a_list_of_lists(tmp_path: Path) -> None:
    numbers = np.arange(60, dtype=np.int32).reshape(10, 2, 3)
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("Events", {"m": np.dtype((np.int32, (2, 3)))}).extend({"m": numbers})
    with open_tree(str(tmp_path / "a.root"), "Events") as tree:
        assert depths(tree, "a.root", ["m"]) == {"m": 2}
        assert read_columns(tree, ["m"])["m"].tolist() == numbers.tolist()


def test_all_branches_may_be_of_a_friend_and_none_of_a_tree_that_begins_with_a_struct(tmp_path: Path) -> None:
    columns = events(1)
    write_rntuple(tmp_path / "main.root", {"vertex": {"hits": columns["hit"], **columns["vertex"]}})
    write_ttree(tmp_path / "friend.root", columns)
    with open_joined(str(tmp_path / "main.root"), "Events", [Friend(str(tmp_path / "friend.root"), "Events")]) as joined:
        read = [entries.columns for entries in joined.batches(["x"], 1000)]
    assert len(read) > 2
    np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in read]), columns["x"])


def members(tree: Any) -> dict[str, Any]:
    """All branches of numbers and members of structs, read one by one."""
    return {name: tree[name].array() for name in branch_names(tree) if not len(tree[name]) and name != "str"}


@pytest.mark.parametrize(
    ("file", "name"),
    [("test_nested_structs_rntuple_v1-0-0-0.root", "ntuple"), ("uproot-sample-6.20.04-lz4.root", "sample")],
)
def test_every_branch_of_a_real_file_is_read_as_uproot_reads_it(file: str, name: str) -> None:
    path = str(real_file(file))
    with uproot.open(path) as opened:
        expected = members(opened[name])
    assert len(expected) > 3
    with open_tree(path, name) as tree:
        by_branch = depths(tree, path, expected)
        batches = list(read_batches(tree, path, list(expected), 1))
    assert len(batches) > 5
    for branch, array in expected.items():
        columns = [columns[branch] for columns, _, _ in batches]
        assert all(column.ndim == by_branch[branch] + 1 for column in columns)
        assert [value for column in columns for value in column.tolist()] == array.tolist()


def test_jets_of_atlas_in_an_rntuple_are_examples(tmp_path: Path) -> None:
    path = str(real_file("uproot-physlite-rntuple_v1-0-0-0.root"))
    jets = "AnalysisJetsAuxDyn"
    raw = {
        "run": "atlas", "object": jets, "event_id": ["EventInfoAuxDyn:eventNumber"], "classes": ["soft", "hard"],
        "samples": {"all": {"files": [path], "tree": "EventData"}}, "label": f"`{jets}:pt` > 3e4",
        "inputs": {
            "jet": {"features": [f"log(`{jets}:pt`)", f"`{jets}:eta`"]},
            "layers": {
                "max_length": 30, "valid": f"`{jets}:EnergyPerSampling` > 0", "features": [f"`{jets}:EnergyPerSampling`"],
            },
        },
        "model": {"name": "deep_sets"},
    }  # fmt: skip
    recipe = Recipe.from_config(load(raw), "all")
    skim(recipe, [path], friends={}, skip_broken=False, shard=tmp_path / "shard.arrow", receipt=tmp_path / "receipt.json")
    with pa.memory_map(str(tmp_path / "shard.arrow")) as file:
        shard = pa.ipc.open_file(file).read_all()
    with uproot.open(path) as opened:
        pt, energies = (opened["EventData"][f"{jets}:{name}"].array() for name in ("pt", "EnergyPerSampling"))
    assert shard[f"scalar:{jets}:pt"].to_pylist() == ak.flatten(pt).tolist()
    assert ak.from_arrow(shard["set:layers"])[f"{jets}:EnergyPerSampling"].tolist() == ak.flatten(energies).tolist()
    assert len(shard) > 100
