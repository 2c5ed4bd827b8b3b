"""Friend trees: the same shards and scores as from one ntuple with all branches."""

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from cyclotrain.config import ConfigError, load
from cyclotrain.contract import Contract
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.errors import FileError
from cyclotrain.core.files import file_sha256
from cyclotrain.data.assemble import assemble
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.data.shards import read_split
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.ingest import skim as skim_module
from cyclotrain.ingest.joined import Friend
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from cyclotrain.ingest.sources import resolve_files, resolve_friends
from support.toys import jets, raw_config, write_tree
from support.trained import Trained

KEY = ["run", "luminosityBlock", "event"]
FRIEND_BRANCHES = ["jet_mass", "pf"]


def split_off(folder: Path, name: str, columns: dict[str, Any], by: list[str], rntuple: bool = False) -> tuple[str, str, str]:
    """The whole ntuple, the ntuple without some branches, and a friend with these.

    With a key, the friend has another order and more entries.
    """
    whole = write_tree(folder / f"{name}_whole.root", columns)
    main = write_tree(folder / f"{name}.root", {b: c for b, c in columns.items() if b not in FRIEND_BRANCHES}, rntuple=rntuple)
    friend = {b: ak.Array(columns[b]) for b in (*(by and KEY), *FRIEND_BRANCHES)}
    if by:
        more = jets(50, 99)
        friend = {b: ak.concatenate([c, ak.Array(more[b])]) for b, c in friend.items()}
        order = np.random.default_rng(1).permutation(len(friend["event"]))
        friend = {b: c[order] for b, c in friend.items()}
    return whole, main, write_tree(folder / f"{name}_friend.root", friend, "Extra", rntuple=rntuple)


def skimmed(raw: dict[str, Any], folder: Path) -> tuple[Any, Contract, list[str]]:
    folder.mkdir()
    config = load(raw)
    files = resolve_files(config)
    friends, shards, receipts = resolve_friends(config, files), [], []
    for name, paths in files.items():
        shards.append(str(folder / f"{name}.arrow"))
        receipts.append(str(folder / f"{name}.json"))
        recipe, sample_friends = Recipe.from_config(config, name), friends[name]
        skim(recipe, paths, friends=sample_friends, skip_broken=False, shard=shards[-1], receipt=receipts[-1])
    recipe, contract, dataset = DatasetRecipe.from_config(config, fold=None), folder / "contract.json", folder / "dataset.json"
    assemble(recipe, receipts=receipts, shards=shards, contract=contract, dataset=dataset)
    return config, Contract.read(folder / "contract.json"), shards


def with_friends(raw: dict[str, Any], friends: dict[str, str], by: list[str]) -> dict[str, Any]:
    samples = {
        name: {**sample, "friends": {"extra": {"files": [friends[name]], "tree": "Extra", "by": by}}}
        for name, sample in raw["samples"].items()
    }
    return {**raw, "samples": samples}


@pytest.mark.parametrize("rntuple", [False, True])
@pytest.mark.parametrize("by", [[], KEY])
def test_shards_and_scores_are_those_of_one_tree(
    by: list[str], rntuple: bool, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skim_module, "STEP", 20_000)  # many batches
    paths = {n: split_off(tmp_path, n, jets(1500, s, n == "signal"), by, rntuple) for s, n in enumerate(("background", "signal"))}
    wholes, mains, friends = ({name: files[i] for name, files in paths.items()} for i in range(3))
    unsplit = skimmed(raw_config(wholes), tmp_path / "whole")
    raw = with_friends(raw_config(mains), friends, by)
    joined = skimmed(raw, tmp_path / "joined")
    for split in SPLITS:
        one, other = (read_split(shards, contract, split) for _, contract, shards in (unsplit, joined))
        for field in ("scalars", "observers", "label", "weight"):
            a, b = (getattr(examples, field)[np.argsort(examples.event_hash)] for examples in (one, other))
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(np.sort(one.sets["pf"][0], axis=0), np.sort(other.sets["pf"][0], axis=0))
    receipt = json.loads((tmp_path / "joined/signal.json").read_text())
    assert [friend["path"] for friend in receipt["files"][0]["friends"]] == [friends["signal"]]
    if rntuple:
        return
    assert joined[1].layout.inputs == trained.contract.layout.inputs  # so its model may be any with these
    models = {str(trained.onnx): file_sha256(trained.onnx)}
    whole, main, friend = paths["signal"]
    cut, friends = ["jet_mass > 90"], [Friend(friend, "Extra", by)]
    score(Ntuple(whole, "Jets", selection=cut), models, friend=tmp_path / "a.root", threads=1)
    score(Ntuple(main, "Jets", selection=cut, friends=friends), models, friend=tmp_path / "b.root", threads=1)
    with uproot.open(tmp_path / "a.root") as a, uproot.open(tmp_path / "b.root") as b:
        scores = [file["Jets"]["test_signal"].array(library="np") for file in (a, b)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)  # the batches differ
    assert (scores[0] == -1).any()


def other_friend(kind: str, columns: dict[str, Any]) -> dict[str, Any]:
    friend = {name: ak.Array(columns[name]) for name in (*KEY, *FRIEND_BRANCHES)}
    if kind == "an entry less":
        return {name: column[1:] for name, column in friend.items()}
    if kind == "an entry twice":
        return {name: ak.concatenate([column, column[:1]]) for name, column in friend.items()}
    if kind == "no key":
        del friend["event"]
    return friend


@pytest.mark.parametrize(
    ("kind", "by", "message"),
    [
        ("an entry less", [], r"friend.root: the friend has 299 entries, and .*main.root has 300; name in 'by'"),
        (
            "an entry less",
            KEY,
            r"friend.root: no entry has the run, luminosityBlock, event of 1 entries in .*main.root",
        ),
        ("an entry twice", KEY, r"friend.root: 1 entries repeat the run, luminosityBlock, event of another entry"),
        ("no key", KEY, r"friend.root: friends are joined by key, and tree 'Extra' has no branch 'event'"),
    ],
)
def test_a_friend_that_does_not_match_is_named(kind: str, by: list[str], message: str, tmp_path: Path) -> None:
    columns = jets(300, 1)
    main = write_tree(tmp_path / "main.root", {b: c for b, c in columns.items() if b not in FRIEND_BRANCHES})
    friend = write_tree(tmp_path / "friend.root", other_friend(kind, columns), "Extra")
    raw = with_friends(raw_config({"background": main, "signal": main}), {"background": friend, "signal": friend}, by)
    with pytest.raises(FileError, match=message):
        skimmed(raw, tmp_path / "skims")


def test_a_branch_that_no_tree_has_is_named_with_the_nearest_names(tmp_path: Path) -> None:
    columns = jets(300, 1)
    main = write_tree(tmp_path / "main.root", {b: c for b, c in columns.items() if b not in FRIEND_BRANCHES})
    friend = write_tree(tmp_path / "friend.root", other_friend("whole", columns), "Extra")
    raw = raw_config({"background": main, "signal": main}, selection="jet_mas > 3")
    with pytest.raises(
        FileError, match=r"main.root: tree 'Jets' with its friends has no branch 'jet_mas'; nearest names: jet_mass"
    ):
        skimmed(with_friends(raw, {"background": friend, "signal": friend}, []), tmp_path / "skims")


def test_one_friend_may_serve_all_files_of_a_sample(tmp_path: Path) -> None:
    columns = jets(400, 1)
    main = {b: ak.Array(c) for b, c in columns.items() if b not in FRIEND_BRANCHES}
    files = [
        write_tree(tmp_path / "1.root", {b: c[:150] for b, c in main.items()}),
        write_tree(tmp_path / "2.root", {b: c[150:] for b, c in main.items()}),
    ]
    key = {**columns, "event": ak.Array(columns["event"])[:, None]}  # a list of one element, as in Delphes
    friend = write_tree(tmp_path / "friend.root", {b: key[b] for b in (*KEY, *FRIEND_BRANCHES)}, "Extra")
    raw = with_friends(raw_config({"background": files[0], "signal": files[0]}), {"background": friend, "signal": friend}, KEY)
    for sample in raw["samples"].values():
        sample["files"] = files
    whole = write_tree(tmp_path / "whole.root", columns)
    _, contract, shards = skimmed(raw, tmp_path / "joined")
    _, expected, whole_shards = skimmed(raw_config({"background": whole, "signal": whole}), tmp_path / "unsplit")
    one, other = read_split(shards, contract, "train"), read_split(whole_shards, expected, "train")
    np.testing.assert_array_equal(one.event_hash, other.event_hash)
    np.testing.assert_array_equal(one.scalars, other.scalars)
    np.testing.assert_array_equal(one.sets["pf"][0], other.sets["pf"][0])


def test_a_friend_that_is_missing_for_a_file_is_named(toy_files: dict[str, str]) -> None:
    raw = with_friends(raw_config(toy_files), toy_files, [])
    raw["samples"]["signal"]["files"] = [toy_files["signal"], toy_files["background"]]
    config = load(raw)
    with pytest.raises(ConfigError, match=r"samples.signal.friends.extra.files: 1 files, and the sample has 2"):
        resolve_friends(config, resolve_files(config))
