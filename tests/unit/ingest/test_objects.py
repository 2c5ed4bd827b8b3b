"""One example per object: the four layouts of constituents, compared with loops over events, and on real files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.config import ConfigError, load
from cyclotrain.contract import Contract, Layout, Link, Set
from cyclotrain.contract.splits import SPLITS, event_hash
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.data.shards import read_split
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.ingest.objects import examples
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from support.real_files import published_file, real_file
from support.toys import skim_and_assemble
from support.trained import Trained

Events = list[dict[str, list[Any]]]
BRANCHES = ("PF_pt", "PF_eta")


def layout(link: Link | None, branches: tuple[str, ...] = BRANCHES) -> Layout:
    return Layout(("Jet_pt", "met"), {"pf": Set((), branches, 8, "PF_pt > 0", 10.0, link)}, (), "Jet")


# events of jets of constituents; a constituent is a number
EVENTS = st.lists(st.lists(st.lists(st.integers(1, 99), max_size=4), max_size=3), min_size=1, max_size=5)


def jagged(lists: list[Any], depth: int = 1) -> ak.Array:
    empty = ak.Array([[0.0]]) if depth == 1 else ak.Array([[[0.0]]])
    array = ak.concatenate([empty, ak.values_astype(ak.from_iter(lists), np.float32)])
    return ak.values_astype(array, np.float32)[1:]


def integers(lists: list[list[int]]) -> ak.Array:
    return ak.values_astype(ak.concatenate([ak.Array([[0]]), ak.from_iter(lists)]), np.int64)[1:]


def scalars(events: list[Any]) -> dict[str, Any]:
    return {
        "met": ak.Array(np.arange(len(events), dtype=np.float32)),
        "Jet_pt": jagged([[10.0 * e + j for j in range(len(jets))] for e, jets in enumerate(events)]),
    }


def check(values: dict[str, Any], link: Link | None, events: list[Any], expected: list[list[int]]) -> None:
    by_object, counts = examples(values, layout(link), "here")
    assert counts.tolist() == [len(jets) for jets in events]
    assert by_object["met"].tolist() == [e for e, jets in enumerate(events) for _ in jets]
    assert by_object["Jet_pt"].tolist() == [10.0 * e + j for e, jets in enumerate(events) for j in range(len(jets))]
    assert by_object["PF_pt"].tolist() == expected
    assert by_object["PF_eta"].tolist() == [[-x for x in jet] for jet in expected]


@given(events=EVENTS)
def test_a_list_per_object(events: list[Any]) -> None:
    nested = jagged(events, depth=2) if any(any(jets) for jets in events) else None
    if nested is None or nested.ndim != 3:
        return
    values = {**scalars(events), "PF_pt": nested, "PF_eta": -nested}
    check(values, None, events, [jet for jets in events for jet in jets])


@given(events=EVENTS, unclaimed=st.integers(0, 2))
def test_a_count_per_object(events: list[Any], unclaimed: int) -> None:
    flat = [[x for jet in jets for x in jet] + [7] * unclaimed for jets in events]
    counts = [[len(jet) for jet in jets] for jets in events]
    pf = jagged(flat)
    values = {**scalars(events), "PF_pt": pf, "PF_eta": -pf, "Jet_n": integers(counts)}
    check(values, Link(count="Jet_n"), events, [jet for jets in events for jet in jets])


@given(events=EVENTS, random=st.randoms(use_true_random=False))
def test_an_index_held_by_each_constituent(events: list[Any], random: Any) -> None:
    owned = []
    for jets in events:
        pairs = [(j, x) for j, jet in enumerate(jets) for x in jet] + [(-1, 5)]
        random.shuffle(pairs)
        owned.append(pairs)
    pf = jagged([[x for _, x in pairs] for pairs in owned])
    values = {**scalars(events), "PF_pt": pf, "PF_eta": -pf, "PF_jetIdx": integers([[j for j, _ in pairs] for pairs in owned])}
    expected = [[x for owner, x in owned[e] if owner == j] for e, jets in enumerate(events) for j in range(len(jets))]
    check(values, Link(object_index="PF_jetIdx"), events, expected)


@given(events=EVENTS, random=st.randoms(use_true_random=False), separator=st.sampled_from("_.:"))
def test_an_index_table(events: list[Any], random: Any, separator: str) -> None:
    """As in NanoAOD: a constituent may belong to several jets or to none. Other experiments separate with a dot or a colon."""
    table = f"JetPF{separator}"
    pfs, tables = [], []
    for jets in events:
        values = sorted({x for jet in jets for x in jet} | {3})
        random.shuffle(values)
        pfs.append(values)
        tables.append([(j, values.index(x)) for j, jet in enumerate(jets) for x in jet])
        random.shuffle(tables[-1])
    pf = jagged(pfs)
    values = {
        **scalars(events), "PF_pt": pf, "PF_eta": -pf, f"{table}jetIdx": integers([[j for j, _ in t] for t in tables]),
        f"{table}pfIdx": integers([[i for _, i in t] for t in tables]),
    }  # fmt: skip
    expected = [[pfs[e][i] for owner, i in tables[e] if owner == j] for e, jets in enumerate(events) for j in range(len(jets))]
    link = Link(object_index=f"{table}jetIdx", constituent_index=f"{table}pfIdx")
    check(values, link, events, expected)
    # a column of the table itself
    values[f"{table}pt"] = jagged([[float(i) for i in range(len(t))] for t in tables])
    by_object, _ = examples(values, layout(link, (f"{table}pt", "PF_pt")), "here")
    objects = [(e, j) for e, jets in enumerate(events) for j in range(len(jets))]
    rows = [[r for r, (owner, _) in enumerate(tables[e]) if owner == j] for e, j in objects]
    assert by_object[f"{table}pt"].tolist() == rows


def test_the_index_itself_may_be_used_in_a_selection() -> None:
    values = {
        "met": np.array([1.0]), "Jet_pt": ak.Array([[1.0, 2.0]]), "PF_pt": ak.Array([[1.0, 2.0, 3.0]]),
        "PF_jetIdx": ak.Array([[1, -1, 1]]),
    }  # fmt: skip
    by_object, _ = examples(values, layout(INDEX, ("PF_pt",)), "here")
    assert by_object["PF_pt"].tolist() == [[], [1.0, 3.0]]
    assert by_object["PF_jetIdx"].tolist() == [[1, -1, 1], [1, -1, 1]]


COUNT, INDEX = Link(count="Jet_n"), Link(object_index="PF_jetIdx")
MISFITS = [
    ({"Jet_eta": [[1.0]]}, COUNT, "'Jet_eta' has 1 elements in entry 0 of these, and branches of Jet have 2"),
    ({"Jet_n": [[1, 3]]}, COUNT, "'Jet_n' sums to 4 in entry 0 of these, and 'PF_pt' has 3 elements"),
    ({"Jet_n": [[1, 2]], "PF_eta": [[1.0, 2.0]]}, COUNT, "'PF_eta' has 2 elements in entry 0 of these, and 'PF_pt' has 3"),
    ({"Jet_n": [[4, -1]]}, COUNT, "'Jet_n' is -1, but must be a number of constituents"),
    ({"Jet_n": [[1.5, 1.0]]}, COUNT, "'Jet_n' is 1.5, but must be a whole number"),
    ({"PF_jetIdx": [[0.0, 1.0, np.nan]]}, INDEX, "'PF_jetIdx' is nan, but must be a whole number"),
    ({"Ele_hits": [[[1.0], [2.0], [3.0]]]}, None, "'Ele_hits' has 3 elements in entry 0 of these, and branches of Jet have 2"),
    (
        {"T_jetIdx": [[0, 1]], "T_pfIdx": [[0, 2]], "PF_eta": [[1.0, 2.0]]},
        Link(object_index="T_jetIdx", constituent_index="T_pfIdx"),
        "'PF_eta' has 2 elements in entry 0 of these, and 'PF_pt' has 3",
    ),
    ({"PF_jetIdx": [[0, 1, 2]]}, INDEX, "'PF_jetIdx' is 2 in entry 0 of these, which has 2 objects"),
    ({"PF_jetIdx": [[0, 1]]}, INDEX, "'PF_pt' has 3 elements in entry 0 of these, and 'PF_jetIdx' has 2"),
    (
        {"T_jetIdx": [[0, 1]], "T_pfIdx": [[0, 3]]},
        Link(object_index="T_jetIdx", constituent_index="T_pfIdx"),
        "'T_pfIdx' is 3 in entry 0 of these, where 'PF_pt' has 3 elements",
    ),
]


@pytest.mark.parametrize(("changes", "link", "message"), MISFITS)
def test_counts_and_indices_that_do_not_fit_are_named(changes: dict[str, Any], link: Link, message: str) -> None:
    pf = ak.Array([[1.0, 2.0, 3.0]])
    values = {"met": ak.Array([1.0]), "Jet_pt": ak.Array([[1.0, 2.0]]), "PF_pt": pf, "PF_eta": pf}
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        examples({**values, **{name: ak.Array(lists) for name, lists in changes.items()}}, layout(link), "file")


def nano(path: Path, **changes: Any) -> dict[str, Any]:
    """Fat jets of PFNano, with their PF candidates from the index table."""
    return {
        "run": "nano", "object": "FatJet",
        "samples": {"qcd": {"files": [str(path)], "tree": "Events"}},
        "selection": "FatJet_pt > 200", "classes": ["light", "heavy"], "label": "FatJet_eta > 0",
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25},
        "inputs": {
            "jet": {"features": ["log(FatJet_pt)", "FatJet_eta", "log(MET_pt)"]},
            "pf": {
                "max_length": 50, "valid": "PFCands_pt > 0",
                "features": ["log(PFCands_pt / FatJet_pt)", "PFCands_eta - FatJet_eta", "FatJetPFCands_btagSip3dSig"],
                "link": {"object_index": "FatJetPFCands_jetIdx", "constituent_index": "FatJetPFCands_pFCandsIdx"},
            },
        },
        "model": {"name": "deep_sets", "options": {"phi": [8], "rho": [8]}}, "baseline": {"features": ["FatJet_msoftdrop"]},
        "training": {"epochs": 1, "batch_size": 4}, **changes,
    }  # fmt: skip


def by_hand(path: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """The numbers of each fat jet above 200 GeV, from loops, by (event, jet)."""
    with uproot.open(path) as file:
        events = file["Events"].arrays(
            ["event", "MET_pt", "FatJet_pt", "FatJet_eta", "PFCands_pt", "FatJetPFCands_jetIdx", "FatJetPFCands_pFCandsIdx",
             "FatJetPFCands_btagSip3dSig"]
        )  # fmt: skip
    fat_jets = {}
    for event in events.tolist():
        for j, pt in enumerate(event["FatJet_pt"]):
            if pt > 200:
                rows = [r for r, owner in enumerate(event["FatJetPFCands_jetIdx"]) if owner == j][:50]
                fat_jets[event["event"], j] = {
                    "pt": pt, "met": event["MET_pt"], "label": int(event["FatJet_eta"][j] > 0),
                    "pf_pt": [event["PFCands_pt"][event["FatJetPFCands_pFCandsIdx"][r]] for r in rows],
                    "sip": [event["FatJetPFCands_btagSip3dSig"][r] for r in rows],
                }  # fmt: skip
    return fat_jets


def test_fat_jets_of_pfnano_are_those_of_loops(tmp_path: Path) -> None:
    path = real_file("pfnano.root")
    _, contract, shards = skim_and_assemble(nano(path), tmp_path)
    expected = sorted(by_hand(path).values(), key=lambda jet: jet["pt"])
    skimmed = []
    branches = contract.layout.sets["pf"].branches
    for split in SPLITS:
        examples_ = read_split(shards, contract, split)
        values, offsets = examples_.sets["pf"]
        for i in range(len(examples_)):
            row = dict(zip(contract.layout.scalars, examples_.scalars[i], strict=True))
            pf = dict(zip(branches, values[offsets[i] : offsets[i + 1]].T, strict=True))
            skimmed.append((row, pf, int(examples_.label[i])))
    skimmed.sort(key=lambda example: example[0]["FatJet_pt"])
    assert len(skimmed) == len(expected) > 10
    for (row, pf, label), jet in zip(skimmed, expected, strict=True):
        assert (row["FatJet_pt"], row["MET_pt"], label) == (jet["pt"], np.float32(jet["met"]), jet["label"])
        np.testing.assert_array_equal(pf["PFCands_pt"], np.array(jet["pf_pt"], np.float32))
        np.testing.assert_array_equal(pf["FatJetPFCands_btagSip3dSig"], np.array(jet["sip"], np.float32))


@pytest.mark.parametrize(
    ("file", "branch", "label", "link"),
    [
        ("nanoAOD_2015_CMS_Open_Data_ttbar.root", "Muon_pt", "Jet_hadronFlavour == 5", {"object_index": "Muon_jetIdx"}),
        # candidates of PFNano also hold their jet's index, and follow one another
        ("pfnano.root", "JetPFCands_pt", "Jet_eta > 0", {"count": "Jet_nConstituents"}),
    ],
)
def test_constituents_are_those_that_hold_the_index_of_their_jet(
    file: str, branch: str, label: str, link: dict[str, str], tmp_path: Path
) -> None:
    path = real_file(file)
    raw = nano(path, object="Jet", label=label, baseline={"features": ["Jet_pt"]})
    del raw["selection"]
    raw["inputs"] = {
        "jet": {"features": ["log(Jet_pt)"]},
        "pf": {"max_length": 200, "valid": f"{branch} > 0", "features": [f"log({branch} / Jet_pt)"], "link": link},
    }
    _, contract, shards = skim_and_assemble(raw, tmp_path)
    index = f"{branch.partition('_')[0]}_jetIdx"
    with uproot.open(path) as opened:
        events = opened["Events"].arrays(["Jet_pt", branch, index]).tolist()
    expected = sorted(
        (pt, tuple(value for value, owner in zip(event[branch], event[index], strict=True) if owner == j))
        for event in events
        for j, pt in enumerate(event["Jet_pt"])
    )
    assert sum(len(constituents) for _, constituents in expected) > 5
    assert sorted(jets_in(contract, shards, "pf")) == expected


def shard_of(raw: dict[str, Any], folder: Path) -> pa.Table:
    """The shard of the only sample."""
    config = load(raw)
    (name,) = config.samples
    recipe, shard = Recipe.from_config(config, name), folder / "shard.arrow"
    skim(recipe, config.samples[name].files, friends={}, skip_broken=False, shard=shard, receipt=folder / "shard.json")
    with pa.memory_map(str(shard)) as file:
        return pa.ipc.open_file(file).read_all()


@pytest.mark.parametrize(
    ("file", "tree", "collection", "number", "constituent", "event"),
    [
        # ATLAS: the energy of a jet in each layer of the calorimeter
        (
            "PHYSLITE_example.root", "CollectionTree", "AnalysisJetsAuxDyn", "AnalysisJetsAuxDyn.pt",
            "AnalysisJetsAuxDyn.EnergyPerSampling", "EventInfoAuxDyn.eventNumber",
        ),
        # ProtoDUNE: the energy loss of a track at each of its hits
        (
            "pduneana.root", "pduneana/beamana", "reco_daughter_allTrack", "reco_daughter_allTrack_len",
            "reco_daughter_allTrack_calibrated_dEdX_SCE", "event",
        ),
    ],
)  # fmt: skip
def test_a_list_per_object_of_a_real_file_stays_with_its_object(
    file: str, tree: str, collection: str, number: str, constituent: str, event: str, tmp_path: Path
) -> None:
    path = published_file(file)
    shard = shard_of(
        {
            "run": "real", "samples": {"all": {"files": [str(path)], "tree": tree}}, "object": collection, "event_id": [event],
            "classes": ["short", "long"], "label": f"`{number}` > 50",
            "inputs": {
                "object": {"features": [f"`{number}`"]},
                "parts": {"max_length": 9, "valid": f"`{constituent}` > 0", "features": [f"`{constituent}`"]},
            },
            "model": {"name": "deep_sets"},
        },
        tmp_path,
    )  # fmt: skip
    with uproot.open(path) as opened:
        events = opened[tree].arrays([number, constituent], library="np")
    expected = [
        (np.float32(value), np.asarray(elements, np.float32).tolist())
        for event_columns in zip(events[number], events[constituent], strict=True)
        for value, elements in zip(*event_columns, strict=True)
    ]
    parts = [[part[constituent] for part in structs] for structs in shard["set:parts"].to_pylist()]
    assert list(zip(shard[f"scalar:{number}"].to_pylist(), parts, strict=True)) == expected
    assert len(expected) > 5 and max(map(len, parts)) > 9


def delphes(**changes: Any) -> dict[str, Any]:
    return {
        "run": "delphes", "object": "Jet", "event_id": ["Event.Number"], "classes": ["quark", "gluon"],
        "samples": {"jets": {"files": [str(published_file("delphes.root"))], "tree": "Delphes"}}, "label": "`Jet.Flavor` == 21",
        "inputs": {"jet": {"features": ["`Jet.PT`", "`Jet/Jet.Eta`"]}}, "model": {"name": "mlp"}, **changes,
    }  # fmt: skip


def test_branches_of_delphes_have_roots_names_and_uproots_names(tmp_path: Path) -> None:
    shard = shard_of(delphes(), tmp_path)
    with uproot.open(published_file("delphes.root")) as opened:
        events = opened["Delphes"].arrays(["Jet.PT", "Jet.Eta", "Event.Number"])
    assert shard["scalar:Jet.PT"].to_pylist() == ak.flatten(events["Jet.PT"]).tolist()
    assert shard["scalar:Jet/Jet.Eta"].to_pylist() == ak.flatten(events["Jet.Eta"]).tolist()
    # a list with one number per event identifies the event
    number = ak.to_numpy(ak.flatten(ak.broadcast_arrays(events["Event.Number"][:, 0], events["Jet.PT"])[0]))
    np.testing.assert_array_equal(shard["event_hash"].to_numpy(), event_hash([number], 1))
    assert len(np.unique(number)) > 5


@pytest.mark.parametrize(
    ("event_id", "message"),
    [
        ("GenJet.PT", "'GenJet.PT' must identify an event by one number, but has 2 elements in entry 1 of these"),
        ("Jet.PT", "event_id uses 'Jet.PT', which is jagged; use branches with one number per event"),
        ("Event.number", "has no branch 'Event.number'; nearest names: Event.Number"),
    ],
)
def test_a_branch_that_does_not_identify_events_is_refused(event_id: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        shard_of(delphes(event_id=[event_id]), tmp_path)


def test_a_definition_as_event_id_is_refused() -> None:
    with pytest.raises(ConfigError, match="event_id: 'number' is from `define`; use branches of the files"):
        load(nano(Path("x.root"), define={"number": "run + 1"}, event_id=["number"]))


def test_a_branch_that_uproot_cannot_describe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise AssertionError("dtype(('<f4', (2,)))")  # uproot 5.7 does so for a class that contains an array

    monkeypatch.setattr(uproot.AsDtype, "awkward_form", fails)
    with pytest.raises(InputError, match=r"branch '.*' of tree 'Delphes' cannot be read by uproot: AssertionError: dtype"):
        shard_of(delphes(), tmp_path)


def jets_in(contract: Contract, shards: Sequence[str], name: str) -> list[tuple[float, tuple[float, ...]]]:
    """The first scalar of each example, and the first branch of its constituents."""
    pairs = []
    for split in SPLITS:
        part = read_split(shards, contract, split)
        values, offsets = part.sets[name]
        pairs += [(float(part.scalars[i, 0]), tuple(values[offsets[i] : offsets[i + 1], 0].tolist())) for i in range(len(part))]
    return pairs


def test_objects_of_one_event_are_in_one_split(tmp_path: Path) -> None:
    path = real_file("pfnano.root")
    _, contract, shards = skim_and_assemble(nano(path), tmp_path)
    hashes = [set(read_split(shards, contract, split).event_hash.tolist()) for split in SPLITS]
    assert not (hashes[0] & hashes[1] or hashes[0] & hashes[2] or hashes[1] & hashes[2])


def test_a_friend_tree_has_a_number_for_each_object(tmp_path: Path) -> None:
    path = real_file("pfnano.root")
    trained = Trained(*skim_and_assemble(nano(path), tmp_path), tmp_path / "out")
    friend = tmp_path / "friend.root"
    ntuple = Ntuple(str(path), "Events", selection=["FatJet_pt > 200"])
    score(ntuple, {str(trained.onnx): file_sha256(trained.onnx)}, friend=friend, threads=1)
    with uproot.open(path) as source, uproot.open(friend) as file:
        pt = source["Events"]["FatJet_pt"].array()
        scores = file["Events"].arrays(["nano_light", "nano_heavy"])
        description = json.loads(file["cyclotrain"])
    assert ak.num(scores.nano_light).tolist() == ak.num(pt).tolist()
    total = scores.nano_light + scores.nano_heavy
    assert ak.all(np.abs(total[pt > 200] - 1) < 1e-5) and ak.all(total[pt <= 200] == -2)
    assert description["selected"] == ak.sum(pt > 200) and description["contract"]["layout"]["object"] == "FatJet"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"link": None}, "'PFCands_pt' has a list per event; state in inputs.pf.link how its elements belong to a FatJet"),
        ({"link": {"count": "MET_pt"}}, "inputs.pf.link: 'MET_pt' has no list per event"),
        ({"features": ["PFCands_pT"]}, "has no branch 'PFCands_pT'; nearest names: PFCands_pt"),
    ],
)
def test_a_link_that_does_not_fit_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    raw = nano(real_file("pfnano.root"))
    raw["inputs"]["pf"] |= change
    with pytest.raises(InputError, match=message):
        skim_and_assemble(raw, tmp_path)


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ({}, "inputs.pf.link: give 'count', or 'object_index'"),
        ({"count": "a", "object_index": "b"}, "inputs.pf.link: give 'count', or 'object_index'"),
        ({"constituent_index": "a"}, "inputs.pf.link: give 'count', or 'object_index'"),
    ],
)
def test_an_incomplete_or_ambiguous_link_is_refused(link: dict[str, str], message: str) -> None:
    raw = nano(Path("x.root"))
    raw["inputs"]["pf"]["link"] = link
    with pytest.raises(ConfigError, match=message):
        load(raw)


def test_a_link_without_an_object_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"inputs.pf.link: only if each example is an object; give 'object'"):
        load(nano(Path("x.root"), object=None))
