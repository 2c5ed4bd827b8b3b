"""`event_id: entry`: the file and the entry number identify an event."""

import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
import uproot

from cyclotrain.config import load
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.files import read_json
from cyclotrain.ingest import skim as skim_module
from cyclotrain.ingest.joined import open_joined
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from support.toys import jets, raw_config, write_tree


def numberless(n: int, seed: int) -> dict[str, Any]:
    return {name: column for name, column in jets(n, seed).items() if name not in ("run", "luminosityBlock", "event")}


def write(path: Path, seed: int, rntuple: bool = False, without_uuid: bool = False) -> str:
    written = write_tree(path, numberless(400, seed), rntuple=rntuple)
    if without_uuid:
        with uproot.open(written) as file:
            uuid = file.file.uuid.bytes
        content = path.read_bytes()
        assert uuid in content
        path.write_bytes(content.replace(uuid, bytes(16)))
        with uproot.open(written) as file:
            assert int(file.file.uuid) == 0
    return written


def events(paths: list[str], shard: Path, **changes: Any) -> dict[float, tuple[int, str]]:
    """Hash and split of each event, by its jet_pt, from one skim job for these files."""
    config = load(raw_config({"background": paths[0], "signal": paths[0]}, event_id="entry", **changes))
    recipe, receipt = Recipe.from_config(config, "signal"), shard.with_suffix(".json")
    skim(recipe, paths, friends={}, skip_broken=False, shard=shard, receipt=receipt)
    with pa.memory_map(str(shard)) as file:
        table = pa.ipc.open_file(file).read_all()
    pt, hashes, splits = (table[name].to_pylist() for name in ("scalar:jet_pt", "event_hash", "split"))
    return {key: (number, SPLITS[split]) for key, number, split in zip(pt, hashes, splits, strict=True)}


@pytest.mark.parametrize("without_uuid", [False, True])
@pytest.mark.parametrize("rntuple", [False, True])
def test_the_split_stays_if_files_are_renamed_and_jobs_have_other_files(
    rntuple: bool, without_uuid: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{seed}.root", seed, rntuple, without_uuid) for seed in range(3)]
    one_job = events(paths, tmp_path / "all.arrow")
    assert len(one_job) == len({number for number, _ in one_job.values()}) == 1200
    monkeypatch.setattr(skim_module, "STEP", 20_000)  # many batches
    a_job_each = {}
    for index, path in enumerate(reversed(paths)):
        renamed = tmp_path / "moved" / f"{index}.root"
        renamed.parent.mkdir(exist_ok=True)
        shutil.copy(path, renamed)
        a_job_each |= events([str(renamed)], tmp_path / f"{index}.arrow", selection="jet_pt > 550")
    assert 0 < len(a_job_each) < 1200
    assert a_job_each == {pt: event for pt, event in one_job.items() if pt > 550}


def test_friends_have_no_part_in_the_identity(tmp_path: Path) -> None:
    columns = numberless(400, 1)
    friend = write_tree(tmp_path / "friend.root", {"jet_mass": columns.pop("jet_mass")}, "Extra")
    path = write_tree(tmp_path / "main.root", columns)
    without = events([path], tmp_path / "without.arrow", inputs={"jet": {"features": ["jet_pt"]}}, model={"name": "mlp"})
    raw = raw_config({"background": path, "signal": path}, event_id="entry")
    raw["samples"]["signal"]["friends"] = {"extra": {"files": [friend], "tree": "Extra"}}
    recipe, shard = Recipe.from_config(load(raw), "signal"), tmp_path / "with.arrow"
    skim(recipe, [path], friends={path: [friend]}, skip_broken=False, shard=shard, receipt=tmp_path / "with.json")
    with pa.memory_map(str(shard)) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table["event_hash"].to_pylist() == [number for number, _ in without.values()]


def test_objects_of_an_entry_have_its_identity(tmp_path: Path) -> None:
    counts = np.random.default_rng(1).integers(0, 6, 300)
    pt = ak.unflatten(np.arange(counts.sum(), dtype=np.float32), counts)
    path = write_tree(tmp_path / "jets.root", {"Jet_pt": pt, "jet_pt": np.zeros(300, np.float32)})
    raw = raw_config({"background": path, "signal": path}, event_id="entry", object="Jet", model={"name": "mlp"})
    raw |= {"inputs": {"jet": {"features": ["Jet_pt"]}}, "selection": "Jet_pt > 99", "weight": "1"}
    shard = tmp_path / "jets.arrow"
    recipe = Recipe.from_config(load(raw), "signal")
    skim(recipe, [path], friends={}, skip_broken=False, shard=shard, receipt=tmp_path / "jets.json")
    with pa.memory_map(str(shard)) as file:
        table = pa.ipc.open_file(file).read_all()
    entry = np.repeat(np.arange(300), counts)[100:]
    hashes = table["event_hash"].to_numpy()
    np.testing.assert_array_equal(np.diff(hashes) != 0, np.diff(entry) != 0)
    numbers = np.unique(entry, return_counts=True)[1]
    assert read_json(tmp_path / "jets.json")["examples_per_entry"] == {
        "entries": len(np.unique(hashes)), "most": numbers.max(), "sum_of_squares": (numbers**2).sum(),
    }  # fmt: skip


def test_a_branch_named_entry_is_read_if_it_is_in_a_list(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", {"entry": np.array([7, 5, 7]), "x": np.zeros(3, np.float32)})
    with open_joined(path, "Jets", []) as joined:
        (of_branch,) = joined.batches(["x"], 1000, event_id=["entry"])
        (of_file,) = joined.batches(["x"], 1000, event_id="entry")
    assert [column.tolist() for column in of_branch.identity] == [[7, 5, 7]]
    assert of_file.identity[-1].tolist() == [0, 1, 2] and list(of_file.columns) == ["x"]
