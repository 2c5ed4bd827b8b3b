import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
import uproot
import xxhash
from uproot.models.RNTuple import Model_ROOT_3a3a_RNTuple

from cyclotrain.config import load
from cyclotrain.contract import Layout
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.errors import FileError
from cyclotrain.core.files import file_xxh3
from cyclotrain.data.assemble import assemble
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.data.shards import Examples, concatenate, iterate_split
from cyclotrain.ingest import skim as skim_module
from cyclotrain.ingest.columns import constituents
from cyclotrain.ingest.ntuples import one_ahead, open_tree, read_batches
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from support.real_files import real_file
from support.toys import jets, raw_config, skim_and_assemble, toys, write_tree


def skim_one(tmp_path: Path, path: str, **changes: Any) -> Any:
    """Skim `path` as the sample 'signal'; gives its receipt."""
    sample = changes.pop("sample", {})
    raw = raw_config({"background": path, "signal": path}, **changes)
    raw["samples"]["signal"] |= sample
    recipe = Recipe.from_config(load(raw), "signal")
    skim(recipe, [path], friends={}, skip_broken=False, shard=tmp_path / "out.arrow", receipt=tmp_path / "out.json")
    return json.loads((tmp_path / "out.json").read_text())


def everything(shard: Path, receipt: Any) -> list[Examples]:
    layout = Layout.from_dict(receipt["layout"])
    parts = [iterate_split([shard], layout, split, normalisation={"signal": 1.0}, fold=None) for split in SPLITS]
    return [concatenate(list(part), layout) for part in parts]


def test_an_event_must_pass_the_common_and_the_samples_own_cut(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(500, 3))
    receipt = skim_one(tmp_path, path, selection="jet_pt > 550", sample={"selection": "jet_pt < 600"})
    events = uproot.open(path)["Jets"].arrays()
    assert 0 < receipt["events_kept"] == int(((events.jet_pt > 550) & (events.jet_pt < 600)).to_numpy().sum()) < 500


def test_values_are_those_of_an_independent_awkward_computation(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(2000, 3))
    receipt = skim_one(
        tmp_path, path, define={"heavy": "jet_mass > 50"}, selection="heavy & (abs(jet_eta) < 1.5)",
        baseline={"features": ["jet_mass / jet_pt", "jet_mass", "num(pf_pt)"]},
    )  # fmt: skip
    stored = pa.ipc.open_file(tmp_path / "out.arrow").schema.names
    assert [name for name in stored if name.startswith("observer:")] == ["observer:num(pf_pt)"]  # the others use scalars only
    events = uproot.open(path)["Jets"].arrays()
    events = events[(events.jet_mass > 50) & (np.abs(events.jet_eta) < 1.5)]
    parts = everything(tmp_path / "out.arrow", receipt)
    assert sum(map(len, parts)) == len(events) == receipt["events_kept"]
    assert receipt["events_read"] == 2000
    # no two jets have the same pT
    by_pt = {float(event.jet_pt): event for event in events}
    for part in parts:
        values, offsets = part.sets["pf"]
        columns = receipt["layout"]["sets"]["pf"]["branches"]
        for row in range(0, len(part), 7):
            event = by_pt[float(part.scalars[row, receipt["layout"]["scalars"].index("jet_pt")])]
            assert part.weight[row] == event.genWeight
            assert part.observers[row, 0] == pytest.approx(event.jet_mass / event.jet_pt, rel=1e-6)
            assert part.observers[row, 1:].tolist() == [event.jet_mass, len(event.pf_pt)]
            rows = values[offsets[row] : offsets[row + 1]]
            for column, branch in enumerate(columns):
                np.testing.assert_array_equal(rows[:, column], np.asarray(event[branch][:8], np.float32))
    total = sum(t["sum_of_weights"] for t in receipt["by_class"]["signal"].values())
    assert total == pytest.approx(float(ak.sum(events.genWeight)), rel=1e-6)


def test_an_rntuple_gives_the_same_shard_as_a_ttree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skim_module, "STEP", 20_000)
    shards = []
    for rntuple in (False, True):
        folder = tmp_path / str(rntuple)
        folder.mkdir()
        path = write_tree(folder / "jets.root", jets(2000, 3), rntuple=rntuple)
        receipt = skim_one(folder, path)
        assert receipt["events_read"] == 2000
        shards.append(everything(folder / "out.arrow", receipt))
    for ttree, ntuple in zip(*shards, strict=True):
        order = [np.argsort(examples.event_hash) for examples in (ttree, ntuple)]
        np.testing.assert_array_equal(ttree.scalars[order[0]], ntuple.scalars[order[1]])
        np.testing.assert_array_equal(ttree.sets["pf"][0].sum(), ntuple.sets["pf"][0].sum())
        np.testing.assert_array_equal(np.diff(ttree.sets["pf"][1])[order[0]], np.diff(ntuple.sets["pf"][1])[order[1]])


@pytest.mark.parametrize("entries", [7, 100, 320, 5000])
def test_each_cluster_of_an_rntuple_is_decompressed_once(entries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, numbers = tmp_path / "clusters.root", np.arange(1050, dtype=np.float32)
    with uproot.recreate(path) as file:
        target = file.mkrntuple("Jets", {"x": np.dtype(np.float32), "y": np.dtype(np.float32)})
        for first, last in itertools.pairwise((0, 300, 301, 340, 1000, 1050)):
            target.extend({"x": numbers[first:last], "y": -numbers[first:last]})
    read: list[tuple[int, int]] = []
    read_page = Model_ROOT_3a3a_RNTuple.read_page

    def recorded(self: Any, into: Any, cluster: int, column: int, *arguments: Any) -> None:
        read.append((column, cluster))
        read_page(self, into, cluster, column, *arguments)

    monkeypatch.setattr(Model_ROOT_3a3a_RNTuple, "read_page", recorded)
    with open_tree(str(path), "Jets") as tree:
        tree.file.array_cache = 1000  # bytes, less than a cluster has
        batches = [columns["x"] for columns, _, _ in read_batches(tree, str(path), ["x", "y"], entries * 8)]
    np.testing.assert_array_equal(np.concatenate(batches), numbers)
    assert max(map(len, batches)) <= entries
    assert sorted(read) == [(column, cluster) for column in range(2) for cluster in range(5)]


@pytest.mark.parametrize("rows", [slice(1, 2), slice(0, 2), [2, 0], [1]])
def test_constituents_are_those_of_the_entries_also_of_a_cut_array(rows: Any) -> None:
    lists = ak.values_astype(ak.Array([[1, 2], [3], [4, 5, 6]]), np.float32)[rows]
    (column,), counts = constituents(["x"], {"x": lists}, "here")
    assert column.tolist() == ak.flatten(lists).tolist()
    assert counts.tolist() == ak.num(lists).tolist()


def test_reading_stops_when_a_batch_fails() -> None:
    read: list[int] = []

    def batches() -> Iterator[int]:
        for batch in range(1, 10):
            time.sleep(0.01)
            read.append(batch)
            yield batch

    with pytest.raises(RuntimeError), one_ahead(batches()) as ahead:
        for batch in ahead:
            if batch == 3:
                raise RuntimeError
    assert read in ([1, 2, 3], [1, 2, 3, 4])
    before = list(read)
    time.sleep(0.1)
    assert read == before


def test_a_reading_error_is_raised_after_the_batches_before_it() -> None:
    def batches() -> Iterator[int]:
        yield 1
        raise FileError("damaged")

    processed = []
    with pytest.raises(FileError, match="damaged"), one_ahead(batches()) as ahead:
        for batch in ahead:
            processed.append(batch)
    assert processed == [1]


def test_a_real_rntuple_is_read(tmp_path: Path) -> None:
    path = str(real_file("Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"))
    inputs = {"muons": {"max_length": 4, "valid": "Muon_pt > 0", "features": ["log(Muon_pt)", "Muon_eta"]}}
    receipt = skim_one(
        tmp_path, path, inputs=inputs, weight=None, event_id=["nMuon"], selection="nMuon >= 2", baseline={"features": ["nMuon"]},
        sample={"tree": "Events"},
    )  # fmt: skip
    with uproot.open(path) as file:
        pt = file["Events"].arrays(["Muon_pt"]).Muon_pt
    pt = pt[ak.num(pt) >= 2]
    parts = everything(tmp_path / "out.arrow", receipt)
    assert sum(map(len, parts)) == len(pt) == receipt["events_kept"]
    assert sum(float(part.sets["muons"][0][:, 0].sum()) for part in parts) == pytest.approx(float(ak.sum(pt[:, :4])), rel=1e-5)


def test_lists_are_counted_cut_and_indexed_on_real_events(tmp_path: Path) -> None:
    path = str(real_file("uproot-HZZ-lz4.root"))
    receipt = skim_one(
        tmp_path, path, inputs={"event": {"features": ["MET_px", "MET_py"]}}, event_id=["MET_px", "MET_py"], weight="EventWeight",
        define={
            "muon_pt": "pt(Muon_Px, Muon_Py)",
            "hard_muons": "muon_pt[(muon_pt > 15) & (abs(eta(Muon_Px, Muon_Py, Muon_Pz)) < 2.4)]",
            "pz": "Muon_Pz[0] + Muon_Pz[1]",
            "dimuon_mass": "mass(Muon_Px[0] + Muon_Px[1], Muon_Py[0] + Muon_Py[1], pz, sum(leading(Muon_E, 2)))",
        },
        selection="(num(hard_muons) >= 2) & (Muon_Charge[0] + Muon_Charge[1] == 0)", model={"name": "mlp"},
        baseline={"features": ["dimuon_mass", "muon_pt[argmax(Muon_Iso)]", "num(hard_muons)"]}, sample={"tree": "events"},
    )  # fmt: skip
    expected = []
    for e in uproot.open(path)["events"].arrays(filter_name=["NMuon", "Muon_*", "MET_p*"]).to_list():
        p = np.array([e["Muon_Px"], e["Muon_Py"], e["Muon_Pz"], e["Muon_E"]]).T
        pt = np.hypot(p[:, 0], p[:, 1])
        n = int(np.sum((pt > 15) & (np.abs(np.arcsinh(p[:, 2] / pt)) < 2.4)))
        if n >= 2 and sum(e["Muon_Charge"][:2]) == 0:
            x, y, z, energy = p[0] + p[1]
            expected.append((np.sqrt(energy**2 - x**2 - y**2 - z**2), pt[int(np.argmax(e["Muon_Iso"]))], n))
    observers = np.concatenate([part.observers for part in everything(tmp_path / "out.arrow", receipt)])
    assert receipt["events_kept"] == len(expected) > 500
    np.testing.assert_allclose(np.sort(observers, axis=0), np.sort(np.array(expected), axis=0), rtol=1e-4)


def test_small_steps_give_the_same_shard_and_receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tree(tmp_path / "jets.root", jets(3000, 4))
    receipt = skim_one(tmp_path, path)
    whole = everything(tmp_path / "out.arrow", receipt)
    monkeypatch.setattr(skim_module, "STEP", 20_000)
    stepwise_receipt = skim_one(tmp_path, path)
    stepwise = everything(tmp_path / "out.arrow", stepwise_receipt)
    assert stepwise_receipt["events_kept"] == 3000
    for key in ("files", "events_kept", "by_class", "constituents"):
        assert stepwise_receipt[key] == receipt[key], key
    for a, b in zip(whole, stepwise, strict=True):
        np.testing.assert_array_equal(a.scalars, b.scalars)
        np.testing.assert_array_equal(a.sets["pf"][0], b.sets["pf"][0])
        np.testing.assert_array_equal(a.event_hash, b.event_hash)


def test_the_split_of_an_event_does_not_depend_on_its_file(tmp_path: Path) -> None:
    columns = jets(1000, 5)
    first = everything(tmp_path / "out.arrow", skim_one(tmp_path, write_tree(tmp_path / "a.root", columns)))
    reverse = {name: column[::-1] for name, column in columns.items()}
    second = everything(tmp_path / "out.arrow", skim_one(tmp_path, write_tree(tmp_path / "b.root", reverse)))
    for a, b in zip(first, second, strict=True):
        assert set(a.event_hash) == set(b.event_hash)


def test_only_the_needed_branches_are_read(tmp_path: Path) -> None:
    receipt = skim_one(tmp_path, write_tree(tmp_path / "jets.root", jets(10)))
    assert set(receipt["branches"]) == {
        "jet_pt", "jet_eta", "jet_mass", "jet_phi", "pf_pt", "pf_eta", "pf_phi", "pf_charge",
        "run", "luminosityBlock", "event", "genWeight",
    }  # fmt: skip


def test_the_receipt_names_input_and_output(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(10))
    receipt = skim_one(tmp_path, path)
    (file,) = receipt["files"]
    expected = {"path": path, "bytes": Path(path).stat().st_size, "xxh3": file_xxh3(path), "events": 10, "kept": 10}
    assert file == {**expected, "uuid": str(uproot.open(path).file.uuid), "friends": []}
    assert receipt["shard_xxh3"] == xxhash.xxh3_128((tmp_path / "out.arrow").read_bytes()).hexdigest()
    assert {"commit", "software", "recipe"} <= set(receipt)


def test_the_log_and_the_receipt_tell_what_took_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def slow(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        def slowed(*arguments: Any) -> Any:
            time.sleep(seconds)
            return function(*arguments)

        return slowed

    monkeypatch.setattr(skim_module, "_select", slow(skim_module._select, 0.2))
    monkeypatch.setattr(skim_module, "_to_arrow", slow(skim_module._to_arrow, 0.4))
    path = write_tree(tmp_path / "jets.root", jets(2000, 3))
    receipt = skim_one(tmp_path, path, selection="jet_pt > 600")
    timing = receipt["timing"]
    assert timing["reading_seconds"] > 0
    assert timing["computing_seconds"] >= 0.2
    assert 0.4 <= timing["writing_seconds"] < timing["wall_seconds"]
    assert timing["events_per_second"] == pytest.approx(2000 / timing["wall_seconds"], rel=0.01)
    lines = [record.getMessage() for record in caplog.records if record.name == "cyclotrain.ingest.skim"]
    assert len(lines) == 1
    assert re.fullmatch(
        rf"2,000 events read, {receipt['events_kept']} kept in \d\.\d s \([\d,]+ events/s\): "
        r"reading \d\.\d s, computing \d\.\d s, writing \d\.\d s",
        lines[0],
    )


def test_dataset_and_contract_do_not_depend_on_the_time_of_a_skim(tmp_path: Path) -> None:
    config, _, shards = skim_and_assemble(raw_config(toys(tmp_path)), tmp_path)
    outputs = [tmp_path / name for name in ("contract.json", "dataset.json")]
    before = [path.read_bytes() for path in outputs]
    receipts = [Path(shard).with_suffix(".json") for shard in shards]
    for receipt in receipts:
        read = json.loads(receipt.read_text())
        assert read.pop("timing")
        receipt.write_text(json.dumps(read))
    recipe = DatasetRecipe.from_config(config, fold=None)
    assemble(recipe, receipts=list(map(str, receipts)), shards=shards, contract=outputs[0], dataset=outputs[1])
    assert [path.read_bytes() for path in outputs] == before
