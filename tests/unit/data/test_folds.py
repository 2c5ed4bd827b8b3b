"""Cross-training: every event is tested once, by a model that has not seen it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.contract import Contract
from cyclotrain.contract.splits import SPLITS, Fold, fold_index
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256, read_json
from cyclotrain.data.assemble import assemble
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.data.shards import read_split
from cyclotrain.deploy.friend_trees import Ntuple, score
from support.toys import raw_config
from support.trained import Trained, with_contract

FOLDS = 3


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(2, 20))
def test_an_event_is_tested_in_one_fold_and_trains_or_validates_in_the_others(hashes: list[int], n_folds: int) -> None:
    array = np.array(hashes, np.uint64)
    splits = np.stack([Fold(index, n_folds, 0.2).split_index(array) for index in range(n_folds)])
    assert ((splits == SPLITS.index("test")).sum(0) == 1).all()
    np.testing.assert_array_equal((splits == SPLITS.index("test")).argmax(0), fold_index(array, n_folds))


def test_shares_are_those_of_the_config() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 100_000, np.uint64)
    splits = Fold(1, 4, 0.25).split_index(hashes)
    np.testing.assert_allclose(np.bincount(splits) / len(splits), [0.75 * 0.75, 0.75 * 0.25, 0.25], atol=0.01)
    assert list(Fold(1, 4, 0.25).shares.values()) == pytest.approx([0.75 * 0.75, 0.75 * 0.25, 0.25])


@pytest.fixture
def folds(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> list[tuple[Any, Contract, list[str]]]:
    """Config, contract and shards of each fold; all folds share one skim."""
    raw = raw_config(toy_files, folds=FOLDS)
    raw["training"]["epochs"] = 1
    config, _, shards = ingest(raw)
    receipts = [str(Path(shard).with_suffix(".json")) for shard in shards]
    inputs = []
    for fold in range(FOLDS):
        path = tmp_path / f"contract{fold}.json"
        recipe = DatasetRecipe.from_config(config, fold=fold)
        assemble(recipe, receipts=receipts, shards=shards, contract=path, dataset=tmp_path / f"dataset{fold}.json")
        inputs.append((config, Contract.read(path), shards))
    return inputs


def test_folds_share_the_shards_and_differ_in_what_they_fit(folds: list[tuple[Any, Contract, list[str]]], tmp_path: Path) -> None:
    tested, totals = [], []
    for index, (_, contract, shards) in enumerate(folds):
        parts = {split: read_split(shards, contract, split) for split in SPLITS}
        tested.append(set(parts["test"].event_hash))
        assert not tested[-1] & set(parts["train"].event_hash)
        assert sum(map(len, parts.values())) == 3000
        expected = np.log(parts["train"].scalars[:, contract.layout.scalars.index("jet_pt")].astype(np.float64)).mean()
        assert contract.layout.sets["jet"].mean[0] == pytest.approx(expected, rel=1e-6)
        by_class = read_json(tmp_path / f"dataset{index}.json")["by_class"]
        totals.append(sum(splits["test"]["events"] for splits in by_class.values()))
        assert totals[-1] == len(parts["test"])
    assert sum(totals) == len(set().union(*tested)) == 3000


def test_friend_trees_have_the_answer_of_the_model_that_has_not_seen_the_event(
    folds: list[tuple[Any, Contract, list[str]]], toy_files: dict[str, str], tmp_path: Path
) -> None:
    models = [Trained(*fold, tmp_path / f"fold{i}") for i, fold in enumerate(folds)]
    ntuple = Ntuple(toy_files["signal"], "Jets", selection=["jet_pt > 520"])
    shas = {str(model.onnx): file_sha256(model.onnx) for model in models}
    score(ntuple, dict(reversed(shas.items())), friend=tmp_path / "friend.root", threads=1)  # in any order
    alone = []
    for model, (_, contract, _) in zip(models, folds, strict=True):
        # the same model, scored as if there were no folds
        friend = tmp_path / f"{contract.run}.root"
        score_alone(ntuple, model, friend)
        with uproot.open(friend) as file:
            alone.append(file["Jets"]["test_signal"].array(library="np"))
    with uproot.open(tmp_path / "friend.root") as file, uproot.open(ntuple.path) as source:
        signal = file["Jets"]["test_signal"].array(library="np")
        pt = source["Jets"]["jet_pt"].array(library="np")
    tested = {}
    for index, (_, contract, shards) in enumerate(folds):
        test = read_split(shards, contract, "test")
        signal_pt = test.scalars[test.label == 1][:, contract.layout.scalars.index("jet_pt")]
        tested |= dict.fromkeys(signal_pt.tolist(), index)
    by_fold = np.array([tested[value] for value in pt.tolist()])
    assert len(set(by_fold)) == FOLDS and len(pt) == len(signal)
    np.testing.assert_allclose(signal, np.choose(by_fold, alone), atol=1e-6)
    assert (signal[pt <= 520] == -1).all()
    with pytest.raises(InputError, match="the cross-training has 3 models, but 2 are given"):
        score(ntuple, dict(list(shas.items())[:2]), friend=tmp_path / "other.root", threads=1)


def score_alone(ntuple: Ntuple, model: Trained, friend: Path) -> None:
    """Score with a copy of the model whose contract has no folds."""
    path = with_contract(model.onnx, friend.with_suffix(".onnx"), fold=None, run="test")
    score(ntuple, {str(path): file_sha256(path)}, friend=friend, threads=1)
