"""The example configs of the public sets read what `fetch` makes, and their features are those of the publications."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from cyclotrain.config import load
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.fetch import higgs
from cyclotrain.fetch.higgs import HIGGS_FILES, higgs_to_root
from cyclotrain.fetch.public_sets import PUBLIC_SETS
from cyclotrain.fetch.quark_gluon import quark_gluon_to_root
from cyclotrain.fetch.top_tagging import top_tagging_to_root
from cyclotrain.ingest.sources import resolve_files
from cyclotrain.networks.features import FeatureLayer
from support import REPOSITORY
from support.public_sets import higgs_csv, quark_gluon_npz, top_tagging_h5
from support.toys import skim_and_assemble

Array = npt.NDArray[np.floating[Any]]


def example(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / f"config/examples/{name}.yaml").read_text())
    return raw


def raw_features(raw: dict[str, Any], folder: Path) -> tuple[Array, Array]:
    """The features [n, F] and four-vectors [n, 4] of all constituents of the training split, sorted column by column."""
    _, contract, shards = skim_and_assemble(raw, folder)
    batch = next(iter(Batches(read_split(shards, contract, "train"), contract.layout, 10_000)))
    part = FeatureLayer(contract.layout).raw(batch.branches, "part")
    assert part.mask is not None and part.vectors is not None
    return np.sort(part.features[part.mask].numpy(), axis=0), np.sort(part.vectors[part.mask].numpy(), axis=0)


def kinematics(p: Array, is_real: Array, length: int) -> list[Array]:
    """The seven features of the Particle Transformer from four-vectors [n, L, 4] of (px, py, pz, E)."""
    jet = (p * is_real[:, :, None]).sum(1, keepdims=True)
    p, is_real = p[:, :length], is_real[:, :length]
    with np.errstate(all="ignore"):
        (pt, eta, phi, energy), (jet_pt, jet_eta, jet_phi, jet_energy) = (
            (np.hypot(x, y), np.arcsinh(z / np.hypot(x, y)), np.arctan2(y, x), e)
            for x, y, z, e in (np.moveaxis(p, 2, 0), np.moveaxis(jet, 2, 0))
        )
        deta = (eta - jet_eta) * np.sign(jet_eta)
        dphi = (phi - jet_phi + np.pi) % (2 * np.pi) - np.pi
        features = [
            np.log(pt),
            np.log(energy),
            np.log(pt / jet_pt),
            np.log(energy / jet_energy),
            np.hypot(deta, dphi),
            deta,
            dphi,
        ]
    return [feature[is_real] for feature in features]


def test_features_of_top_tagging_are_those_of_the_publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/top_tagging")
    folder.mkdir(parents=True)
    for seed, name in enumerate(PUBLIC_SETS["top_tagging"].names):
        top_tagging_h5(folder / name, 60, seed)
        top_tagging_to_root(folder / name, folder)
    features, vectors = raw_features(example("top_tagging"), tmp_path)
    table = top_tagging_h5(tmp_path / "again.h5", 60, 0)
    p = np.stack([table[[f"{c}_{i}" for i in range(200)]].to_numpy(np.float64) for c in ("PX", "PY", "PZ", "E")], 2)
    expected = np.sort(np.stack(kinematics(p, p[..., 3] > 0, 128), 1), axis=0)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.log(vectors[:, [0, 3]]), expected[:, :2], rtol=1e-4, atol=1e-4)


def test_features_of_quark_gluon_are_those_of_the_publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/quark_gluon")
    folder.mkdir(parents=True)
    arrays = {}
    for seed, name in enumerate(PUBLIC_SETS["quark_gluon"].names):
        arrays[name] = quark_gluon_npz(folder / name, 12, seed)[0]
        quark_gluon_to_root(folder / name, folder)
    raw = example("quark_gluon")
    numbers = {split: [Path(file).stem.removeprefix("QG_jets").removeprefix("_") or "0" for file in files]
               for split, files in resolve_files(load(raw)).items()}  # fmt: skip
    assert {split: sorted(map(int, found)) for split, found in numbers.items()} == {
        "train": list(range(16)), "validation": [16, 17], "test": [18, 19]}  # fmt: skip

    features, vectors = raw_features(raw, tmp_path)
    expected: list[list[Array]] = []
    for name in list(arrays)[:16]:
        x = arrays[name]
        pt, eta, phi, pid = np.moveaxis(x, 2, 0)
        p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], 2)
        pid = pid[pt > 0]
        charge = np.select(
            [np.isin(pid, [211, 321, 2212, -11, -13]), np.isin(pid, [-211, -321, -2212, 11, 13])], [1.0, -1.0], 0.0
        )
        kinds = [np.isin(abs(pid), ids) for ids in ([211, 321, 2212], [130, 2112], [22], [11], [13])]
        expected.append([*kinematics(p, pt > 0, 128), charge, *(kind.astype(float) for kind in kinds)])
    columns = np.sort(np.stack([np.concatenate(column) for column in zip(*expected, strict=True)], 1), axis=0)
    np.testing.assert_allclose(features, columns, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.log(vectors[:, [0, 3]]), columns[:, :2], rtol=1e-4, atol=1e-4)


def test_the_example_of_higgs_reads_the_published_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(higgs, "TEST_EVENTS", 100)
    monkeypatch.setattr(higgs, "VALIDATION_EVENTS", 50)
    folder = Path("data/higgs")
    folder.mkdir(parents=True)
    higgs_csv(folder / "HIGGS.csv.gz", 400)
    higgs_to_root(folder / "HIGGS.csv.gz", folder, events=400)
    assert set(HIGGS_FILES) == {Path(sample["files"][0]).name for sample in example("higgs_full")["samples"].values()}
    _, contract, shards = skim_and_assemble(example("higgs_full"), tmp_path)
    assert [len(read_split(shards, contract, split).label) for split in ("train", "validation", "test")] == [250, 50, 100]
    assert tuple(text.strip("`") for text in example("higgs_full")["inputs"]["event"]["features"]) == higgs.FEATURES
