"""Files in the published layouts, made by the same writers, become ROOT files, on which the example configs work."""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import uproot

from cyclotrain.core.errors import InputError
from cyclotrain.fetch import higgs, quark_gluon, top_tagging
from cyclotrain.fetch.higgs import HIGGS_FILES, higgs_to_root
from cyclotrain.fetch.jetclass import unpack, unpacked
from cyclotrain.fetch.quark_gluon import quark_gluon_to_root
from cyclotrain.fetch.top_tagging import top_tagging_to_root
from support.public_sets import higgs_csv, quark_gluon_npz, top_tagging_h5


def test_top_tagging_becomes_lists_without_padding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_tagging, "_JETS_PER_STEP", 40)
    table = top_tagging_h5(tmp_path / "val.h5", 100)
    top_tagging_to_root(tmp_path / "val.h5", tmp_path)
    with uproot.open(tmp_path / "val.root") as file:
        jets = file["Jets"].arrays()
    energy = table[[f"E_{i}" for i in range(200)]].to_numpy()
    assert ak.to_list(ak.num(jets["part_energy"])) == (energy > 0).sum(1).tolist()
    for name, column in (("px", "PX"), ("py", "PY"), ("pz", "PZ"), ("energy", "E")):
        values = table[[f"{column}_{i}" for i in range(200)]].to_numpy()
        assert (ak.to_numpy(ak.flatten(jets[f"part_{name}"])) == values[energy > 0]).all()
        np.testing.assert_allclose(jets[f"jet_{name}"], values.sum(1, dtype=np.float64), rtol=1e-6)
    assert jets["is_top"].tolist() == table["is_signal_new"].tolist()


def test_top_tagging_of_another_kind_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match=r"text\.h5' cannot be read as HDF5"):
        top_tagging_to_root(tmp_path / "text.h5", tmp_path)
    pd.DataFrame({"E_0": [1.0]}).to_hdf(tmp_path / "other.h5", key="table", format="table")
    with pytest.raises(InputError, match=r"other\.h5' lacks the column 'PX_0'"):
        top_tagging_to_root(tmp_path / "other.h5", tmp_path)
    pd.DataFrame({"E_0": [1.0]}).to_hdf(tmp_path / "key.h5", key="jets", format="table")
    with pytest.raises(InputError, match=r"key\.h5' has no 'table'"):
        top_tagging_to_root(tmp_path / "key.h5", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.h5", "other.h5", "text.h5"]


def test_quark_gluon_jets_become_lists_without_padding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quark_gluon, "_JETS_PER_STEP", 40)
    x, y = quark_gluon_npz(tmp_path / "QG_jets_1.npz", 100)
    quark_gluon_to_root(tmp_path / "QG_jets_1.npz", tmp_path)
    with uproot.open(tmp_path / "QG_jets_1.root") as file:
        jets = file["Jets"].arrays()
    is_real = x[:, :, 0] > 0
    for i, name in enumerate(("pt", "eta", "phi", "pid")):
        assert (ak.to_numpy(ak.flatten(jets[f"part_{name}"])) == x[:, :, i][is_real].astype(np.float32)).all()
    assert ak.to_list(ak.num(jets["part_pt"])) == is_real.sum(1).tolist()
    pt, eta, phi, _ = np.moveaxis(x, 2, 0)
    for name, values in (
        ("px", pt * np.cos(phi)),
        ("py", pt * np.sin(phi)),
        ("pz", pt * np.sinh(eta)),
        ("energy", pt * np.cosh(eta)),
    ):
        np.testing.assert_allclose(jets[f"jet_{name}"], values.sum(1), rtol=1e-5, atol=1e-3)
    assert jets["is_quark"].tolist() == y.tolist()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": np.zeros((3, 4))}, "cannot be read as the arrays X and y"),
        ({"X": np.zeros((3, 4, 5)), "y": np.zeros(3)}, "are not .jets, constituents, 4. and .jets."),
        ({"X": np.zeros((3, 5, 4)), "y": np.zeros(2)}, "are not .jets, constituents, 4. and .jets."),
    ],
)
def test_quark_gluon_of_another_kind_is_an_error(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "QG_jets.npz", **arrays)
    with pytest.raises(InputError, match=words):
        quark_gluon_to_root(tmp_path / "QG_jets.npz", tmp_path)


def test_the_last_rows_of_higgs_are_the_test_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(higgs, "TEST_EVENTS", 50)
    monkeypatch.setattr(higgs, "VALIDATION_EVENTS", 20)
    monkeypatch.setattr(higgs, "_BLOCK_BYTES", 30_000)  # some 40 rows: the limits are inside blocks
    table = higgs_csv(tmp_path / "HIGGS.csv.gz", 300)
    higgs_to_root(tmp_path / "HIGGS.csv.gz", tmp_path, events=300)
    for name, rows in zip(HIGGS_FILES, (table[:230], table[230:250], table[250:]), strict=True):
        with uproot.open(tmp_path / name) as file:
            events = file["Events"].arrays(library="np")
        assert list(events) == ["is_signal", *higgs.FEATURES]
        assert (np.stack(list(events.values()), 1).astype(np.float32) == rows).all()


def test_higgs_of_another_length_or_kind_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "HIGGS.csv.gz"
    higgs_csv(path, 300)
    with pytest.raises(InputError, match="has 300 rows, and HIGGS has 11,000,000"):
        higgs_to_root(path, tmp_path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match="cannot be read as HIGGS"):
        higgs_to_root(path, tmp_path)
    path.write_bytes(gzip.compress(b"1,2,3\n"))
    with pytest.raises(InputError, match="cannot be read as HIGGS"):
        higgs_to_root(path, tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def archive(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))


def test_jetclass_is_unpacked_into_the_folder_of_its_split(tmp_path: Path) -> None:
    path = tmp_path / "JetClass_Pythia_train_100M_part3.tar"
    archive(path, {"./HToBB_030.root": b"higgs", "../../ZJetsToNuNu_030.root": b"z", "README": b"read"})
    unpack(path, tmp_path)
    assert {file.name: file.read_bytes() for file in (tmp_path / "train_100M").iterdir()} == {
        "HToBB_030.root": b"higgs", "ZJetsToNuNu_030.root": b"z"}  # fmt: skip
    (listed,) = unpacked(path.name)
    assert (tmp_path / listed).read_text() == "train_100M/HToBB_030.root\ntrain_100M/ZJetsToNuNu_030.root\n"


def test_a_damaged_archive_of_jetclass_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "JetClass_Pythia_val_5M.tar"
    archive(path, {"val_5M/HToBB_120.root": bytes(100_000), "val_5M/HToCC_120.root": bytes(100_000)})
    path.write_bytes(path.read_bytes()[:150_000])
    with pytest.raises(InputError, match=r"JetClass_Pythia_val_5M\.tar' cannot be unpacked"):
        unpack(path, tmp_path)
    assert not (tmp_path / unpacked(path.name)[0]).exists()
    assert [file.name for file in (tmp_path / "val_5M").iterdir()] == ["HToBB_120.root"]
    archive(path, {"README": b""})
    with pytest.raises(InputError, match="has no ROOT files"):
        unpack(path, tmp_path)
    with pytest.raises(InputError, match="no archive of JetClass"):
        unpack(tmp_path / "other.tar", tmp_path)
