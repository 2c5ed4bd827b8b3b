import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from cyclotrain.config import ConfigError, load
from cyclotrain.contract import Contract
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import read_split
from cyclotrain.data.training_weights import training_weights
from support.toys import jets, raw_config, write_tree


def two_files(folder: Path, with_runs: bool = False, **columns: Any) -> dict[str, list[str]]:
    """Background in two files of different size, signal in one."""
    files: dict[str, list[str]] = {}
    for name, seeds in {"background": (1, 2), "signal": (3,)}.items():
        files[name] = []
        for seed in seeds:
            files[name].append(write_tree(folder / f"{seed}.root", jets(700 * seed, seed, name == "signal") | columns))
            if with_runs:
                with uproot.update(folder / f"{seed}.root") as file:
                    file.mktree("Runs", {"genEventSumw": np.float64})
                    file["Runs"].extend({"genEventSumw": np.array([1000.0 * seed, 50.0])})
    return files


def with_files(files: dict[str, list[str]], sample: dict[str, Any], **changes: Any) -> dict[str, Any]:
    raw = raw_config({name: paths[0] for name, paths in files.items()}, **changes)
    for name, paths in files.items():
        raw["samples"][name] |= {"files": paths} | sample
    return raw


def all_weights(contract: Contract, shards: list[str], label: int) -> float:
    parts = [read_split(shards, contract, split) for split in SPLITS]
    return sum(float(part.weight[part.label == label].sum(dtype=np.float64)) for part in parts)


def test_a_sample_in_several_files_is_normalised_once_to_its_cross_section(ingest: Any, tmp_path: Path) -> None:
    files = two_files(tmp_path)
    sample = {"cross_section": 12.5, "sum_of_weights": {"sum": "genWeight"}}
    _, contract, shards = ingest(with_files(files, sample, selection="jet_pt > 600", luminosity=3.0))
    events = [uproot.open(path)["Jets"].arrays(["genWeight", "jet_pt"], library="np") for path in files["background"]]
    generated = sum(e["genWeight"].sum(dtype=np.float64) for e in events)
    selected = sum(e["genWeight"][e["jet_pt"] > 600].sum(dtype=np.float64) for e in events)
    expected = 12.5 * 1000 * 3.0 * selected / generated  # cross section, luminosity, efficiency: events expected
    assert all_weights(contract, shards, 0) == pytest.approx(expected, rel=1e-5)
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    background = dataset["samples"]["background"]
    assert background["sum_of_generator_weights"] == pytest.approx(generated)
    assert sum(t["sum_of_weights"] for t in background["by_class"]["background"].values()) == pytest.approx(expected, rel=1e-5)


def test_the_sum_of_generator_weights_is_read_from_a_tree_of_its_own(ingest: Any, tmp_path: Path) -> None:
    files = two_files(tmp_path, with_runs=True)
    sample = {"cross_section": 1.0, "sum_of_weights": {"tree": "Runs", "sum": "genEventSumw"}}
    _, contract, _ = ingest(with_files(files, sample))
    assert contract.normalisation == pytest.approx({"background": 1000 / 3100, "signal": 1000 / 3050})


@pytest.mark.parametrize(
    ("sum_of_weights", "message"),
    [
        ({"tree": "Rums", "sum": "genEventSumw"}, "no tree 'Rums'; did you mean 'Runs'"),
        ({"tree": "Runs", "sum": "genEventSum"}, "no branch 'genEventSum'; nearest names: genEventSumw"),
        ({"sum": "pf_pt"}, "sum_of_weights.sum 'pf_pt' is a list"),
        ({"sum": "0 * genWeight"}, "the sum of generator weights is 0 over its files; it must be positive"),
    ],
)
def test_a_wrong_sum_of_weights_is_named(ingest: Any, tmp_path: Path, sum_of_weights: dict[str, str], message: str) -> None:
    files = two_files(tmp_path, with_runs=True)
    with pytest.raises(InputError, match=message):
        ingest(with_files(files, {"cross_section": 1.0, "sum_of_weights": sum_of_weights}))


@pytest.mark.parametrize(("policy", "expected"), [("keep", -0.5), ("absolute", 0.5), ("drop", 0.0)])
def test_negative_weights_in_training_follow_the_policy(ingest: Any, tmp_path: Path, policy: str, expected: float) -> None:
    columns = [jets(2000, seed, seed == 2) for seed in (1, 2)]
    for branches in columns:
        branches["genWeight"] = np.where(np.arange(2000) % 4 == 0, -0.5, 1.0).astype(np.float32)
    files = {name: write_tree(tmp_path / name, c) for name, c in zip(("background", "signal"), columns, strict=True)}
    _, contract, shards = ingest(raw_config(files, negative_weights=policy))
    train = read_split(shards, contract, "train")
    weights = training_weights(train, contract)
    factors = np.array(contract.class_weights)[train.label]
    np.testing.assert_allclose(weights / factors, np.where(train.weight < 0, expected, 1.0), rtol=1e-5)
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    assert weights[train.label == 0].sum() == pytest.approx(weights[train.label == 1].sum(), rel=1e-5)
    assert read_split(shards, contract, "test").weight.min() == -0.5  # the figures on the test split keep the sign


def test_unit_weights_train_balanced_classes_and_leave_the_test_split_alone(ingest: Any, tmp_path: Path) -> None:
    files = {
        name: write_tree(tmp_path / name, jets(n, n, name == "signal")) for name, n in {"background": 2000, "signal": 500}.items()
    }
    _, contract, shards = ingest(raw_config(files, training={"weights": "none"}))
    for split in ("train", "validation"):
        examples = read_split(shards, contract, split)
        weights = training_weights(examples, contract)
        for label, factor in enumerate(contract.class_weights):
            assert set(weights[examples.label == label]) == {np.float32(factor)}
        if split == "train":
            counts = np.bincount(examples.label)
            assert weights.mean() == pytest.approx(1, rel=1e-5)
            assert contract.class_weights[0] * counts[0] == pytest.approx(contract.class_weights[1] * counts[1])
    assert read_split(shards, contract, "test").weight.std() > 0.2  # figures use the physics weights


def test_unit_weights_make_a_policy_for_negative_weights_an_error(toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files, training={"weights": "none"}, negative_weights="drop")
    with pytest.raises(ConfigError, match=r"negative_weights: 'drop' has no effect, because 'training.weights: none'"):
        load(raw)


@pytest.mark.parametrize("weights", ["physics", "none"])
@pytest.mark.parametrize("to", ["flat", "signal"])
@pytest.mark.parametrize("variables", [["jet_pt"], ["jet_pt", "abs(jet_eta)"]])
def test_flattened_classes_have_the_same_distribution(
    ingest: Any, tmp_path: Path, to: str, variables: list[str], weights: str
) -> None:
    columns = [jets(6000, seed, seed == 2) for seed in (1, 2)]
    columns[0]["jet_pt"] = (500 + 250 * np.random.default_rng(3).beta(1, 3, 6000)).astype(np.float32)
    files = {name: write_tree(tmp_path / name, c) for name, c in zip(("background", "signal"), columns, strict=True)}
    edges = {"jet_pt": [500, 530, 560, 600, 650], "abs(jet_eta)": [0, 0.7, 1.2, 2]}
    flatten = {"variables": {v: edges[v] for v in variables}, "to": to}
    _, contract, shards = ingest(raw_config(files, flatten=flatten, training={"weights": weights}))
    train = read_split(shards, contract, "train")
    trained_with = training_weights(train, contract)
    scalars = {"jet_pt": train.scalars[:, contract.layout.scalars.index("jet_pt")]}
    scalars["abs(jet_eta)"] = np.abs(train.scalars[:, contract.layout.scalars.index("jet_eta")])
    where = [scalars[v].astype(np.float64) for v in variables]

    def histogram(label: int, weight: Any) -> Any:
        rows = train.label == label
        return np.histogramdd([column[rows] for column in where], [edges[v] for v in variables], weights=weight[rows])[0]

    background, signal = (histogram(label, trained_with) for label in (0, 1))
    np.testing.assert_allclose(background, signal, rtol=1e-4)
    physics = train.weight if weights == "physics" else np.ones_like(train.weight)
    before = np.ones_like(signal) if to == "flat" else histogram(1, physics)
    np.testing.assert_allclose(signal / signal.sum(), before / before.sum(), rtol=1e-4)
    outside = scalars["jet_pt"] > 650
    assert outside.any()
    assert not trained_with[outside].any()
    assert trained_with.mean() == pytest.approx(1, rel=1e-4)
    summary = json.loads((tmp_path / "dataset.json").read_text())["flattening"]["classes"]["background"]
    assert summary["events_outside"] == int((outside & (train.label == 0)).sum())
    assert summary["largest_factor"] == pytest.approx(max(contract.flattening.factors[0]))


def test_flattening_without_an_event_in_the_bins_is_an_error(ingest: Any, toy_files: dict[str, str]) -> None:
    with pytest.raises(InputError, match="flatten: class 'background' has no positive sum of weights in any bin of jet_pt"):
        ingest(raw_config(toy_files, flatten={"variables": {"jet_pt": [0, 1, 2]}}))


def test_a_sample_that_comes_split_stays_so(ingest: Any, tmp_path: Path) -> None:
    names = {"train": 1, "validation": 2, "test": 3}
    raw = raw_config({"background": "", "signal": ""})
    raw["samples"] = {
        f"{label}_{split}": {
            "files": [write_tree(tmp_path / f"{label}_{split}.root", jets(100 * n, n + 5 * (label == "signal")))],
            "tree": "Jets", "label": label, "split": split,
        }
        for split, n in names.items()
        for label in ("background", "signal")
    }  # fmt: skip
    _, contract, shards = ingest(raw)
    for split, n in names.items():
        examples = read_split(shards, contract, split)
        assert len(examples) == 200 * n
        assert set(examples.event_hash) == set(
            np.concatenate([read_split([s], contract, split).event_hash for s in shards if split in s])
        )


def test_an_expression_may_give_the_split(ingest: Any, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files)
    for sample in raw["samples"].values():
        sample["split"] = "(event - 10 * floor(event / 10) > 5) + (event - 10 * floor(event / 10) > 7)"
    _, contract, shards = ingest(raw)
    sizes = [len(read_split(shards, contract, split)) for split in SPLITS]
    assert sizes == [1800, 600, 600]


def test_an_unknown_split_is_named(ingest: Any, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files)
    raw["samples"]["signal"]["split"] = "event"
    with pytest.raises(InputError, match=r"the split 'event' is .* but must be 0 = train, 1 = validation, 2 = test"):
        ingest(raw)
