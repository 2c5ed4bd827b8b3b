"""Friend trees."""

import json
import re
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import uproot

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256, file_xxh3
from cyclotrain.deploy import friend_trees as module
from cyclotrain.deploy.friend_trees import NOT_SELECTED, Ntuple, score
from support.toys import jets, write_tree
from support.trained import Trained

N = 700
CUT, DEFINE = "pt_in_tev > 0.6", {"pt_in_tev": "jet_pt / 1000"}


@pytest.fixture
def ntuple(tmp_path: Path) -> Ntuple:
    path = write_tree(tmp_path / "ntuple.root", jets(N, 5, is_signal=True, max_constituents=20))
    return Ntuple(path, "Jets", selection=[CUT], define=DEFINE)


def run(trained: Trained, ntuple: Ntuple, friend: Path, **changes: Any) -> None:
    arguments = {"models": {str(trained.onnx): file_sha256(trained.onnx)}, **changes}
    score(ntuple, friend=friend, threads=1, **arguments)


def answer_for_entry(trained: Trained, tree: Any, entry: int) -> np.ndarray:
    """The model's answer for one entry, from its unchanged branches."""
    session = ort.InferenceSession(trained.onnx, providers=["CPUExecutionProvider"])
    inputs = {}
    for model_input in session.get_inputs():
        values = np.atleast_1d(ak.to_numpy(tree[model_input.name][entry])).astype(np.float32)
        inputs[model_input.name] = (values if len(values) else np.zeros(1, np.float32))[None]
    return session.run(None, inputs)[0][0]


def test_a_friend_has_the_models_answer_for_every_entry_and_minus_one_where_not_selected(
    trained: Trained, ntuple: Ntuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_STEP", 20_000)  # many batches
    monkeypatch.setattr(module, "_BATCH", 64)
    before = file_xxh3(ntuple.path)
    run(trained, ntuple, tmp_path / "friends/ntuple.root")
    assert file_xxh3(ntuple.path) == before
    with uproot.open(ntuple.path) as file:
        tree = file["Jets"].arrays()
    with uproot.open(tmp_path / "friends/ntuple.root") as file:
        friend = file["Jets"].arrays(library="np")
        description = json.loads(file["cyclotrain"])
    assert list(friend) == ["test_background", "test_signal"]
    probabilities = np.stack(list(friend.values()), axis=1)
    assert probabilities.shape == (N, 2)
    passes = ak.to_numpy(tree["jet_pt"]) / 1000 > 0.6
    assert 0 < passes.sum() < N
    assert (probabilities[~passes] == NOT_SELECTED).all()
    assert ak.any(ak.num(tree["pf_pt"]) == 0) and ak.any(ak.num(tree["pf_pt"]) > 8)  # empty sets, and sets beyond max_length
    for entry in np.flatnonzero(passes)[::7]:
        np.testing.assert_allclose(probabilities[entry], answer_for_entry(trained, tree, int(entry)), atol=1e-6)
    expected = {"path": ntuple.path, "xxh3": before, "tree": "Jets", "entries": N}
    assert description["ntuple"] | expected == description["ntuple"]
    assert description["selection"] == [CUT] and description["selected"] == passes.sum() and description["not_selected"] == -1
    assert description["model_sha256"] == file_sha256(trained.onnx)
    assert description["contract"]["classes"] == ["background", "signal"]
    summary = rf"{N} entries read, {passes.sum()} entries selected and scored in [\d.]+ s \([\d,]+ entries/s\)"
    assert re.fullmatch(f"{re.escape(ntuple.path)}: {summary}", caplog.messages[-1])


def test_the_graph_gets_all_constituents_if_it_sorts_them(trained_to_sort: Trained, ntuple: Ntuple, tmp_path: Path) -> None:
    """Otherwise the first constituents of the file would be kept instead of the largest."""
    run(trained_to_sort, ntuple, tmp_path / "friend.root")
    with uproot.open(ntuple.path) as file, uproot.open(tmp_path / "friend.root") as friend:
        tree, scores = file["Jets"].arrays(), friend["Jets"]["test_signal"].array(library="np")
    for entry in np.flatnonzero(scores != NOT_SELECTED)[::11]:
        assert scores[entry] == pytest.approx(answer_for_entry(trained_to_sort, tree, int(entry))[1], abs=1e-6)


def test_the_friend_of_an_rntuple_is_an_rntuple(trained: Trained, ntuple: Ntuple, tmp_path: Path) -> None:
    columns = jets(N, 5, is_signal=True, max_constituents=20)
    path = write_tree(tmp_path / "rntuple.root", columns, rntuple=True)
    run(trained, ntuple, tmp_path / "friend.root")
    run(trained, Ntuple(path, "Jets", selection=[CUT], define=DEFINE), tmp_path / "rfriend.root")
    with uproot.open(tmp_path / "friend.root") as tree, uproot.open(tmp_path / "rfriend.root") as rntuple:
        assert rntuple.classnames()["Jets;1"] == "ROOT::RNTuple"
        assert json.loads(rntuple["cyclotrain"])["ntuple"]["entries"] == N
        expected, actual = (file["Jets"].arrays(["test_background", "test_signal"], library="np") for file in (tree, rntuple))
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name])


def test_an_empty_ntuple_gets_an_empty_friend(trained: Trained, tmp_path: Path) -> None:
    path = write_tree(tmp_path / "empty.root", {name: column[:0] for name, column in jets(3).items()})
    run(trained, Ntuple(path, "Jets"), tmp_path / "friend.root")
    with uproot.open(tmp_path / "friend.root") as file:
        assert file["Jets"].num_entries == 0


def without(name: str) -> dict[str, Any]:
    columns = jets(20)
    del columns[name]
    return columns


BAD_NTUPLES = {
    "missing branch": (without("jet_mass"), "has no branch 'jet_mass'"),
    "jagged instead of one number": (
        {**jets(20), "jet_mass": ak.Array([[1.0, 2.0]] * 20)},
        "branch 'jet_mass' has a list of numbers per entry, but the model takes one number",
    ),
    "text": ({**jets(20), "jet_mass": ak.Array(["a"] * 20)}, "branch 'jet_mass' of tree 'Jets' is of type"),
}


@pytest.mark.parametrize(("columns", "message"), BAD_NTUPLES.values(), ids=BAD_NTUPLES)
def test_an_ntuple_that_does_not_fit_is_named_and_leaves_nothing(
    columns: dict[str, Any], message: str, trained: Trained, tmp_path: Path
) -> None:
    path = write_tree(tmp_path / "bad.root", columns)
    with pytest.raises(InputError, match=message) as error:
        run(trained, Ntuple(path, "Jets"), tmp_path / "friends/bad.root")
    assert path in str(error.value)
    assert not list((tmp_path / "friends").glob("*"))


def test_a_foreign_or_changed_model_is_refused(trained: Trained, ntuple: Ntuple, tmp_path: Path) -> None:
    friend, other = tmp_path / "friend.root", tmp_path / "other.onnx"
    other.write_bytes(b"not ONNX")
    with pytest.raises(InputError, match=r"other\.onnx: not an ONNX file"):
        run(trained, ntuple, friend, models={str(other): file_sha256(trained.onnx)})
    model = onnx.load(trained.onnx)
    del model.metadata_props[:]
    onnx.save(model, other)
    with pytest.raises(InputError, match=r"other\.onnx: not a model made by Cyclotrain"):
        run(trained, ntuple, friend, models={str(other): file_sha256(trained.onnx)})
    model = onnx.load(trained.onnx)
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    onnx.save(model, other)
    with pytest.raises(InputError, match=r"other\.onnx: changed since it was verified"):
        run(trained, ntuple, friend, models={str(other): file_sha256(trained.onnx)})
    assert not friend.exists()


def test_an_existing_file_is_not_overwritten(trained: Trained, ntuple: Ntuple, tmp_path: Path) -> None:
    friend = tmp_path / "friend.root"
    friend.write_text("mine")
    with pytest.raises(InputError, match=r"friend\.root: this file exists already"):
        run(trained, ntuple, friend)
    assert friend.read_text() == "mine"
    with pytest.raises(InputError, match="this file exists already"):
        run(trained, ntuple, Path(ntuple.path))


def test_a_place_that_is_not_writable_is_named(trained: Trained, ntuple: Ntuple) -> None:
    with pytest.raises(OSError, match="/sys/cyclotrain"):  # read-only, for root too
        run(trained, ntuple, Path("/sys/cyclotrain/friend.root"))


@pytest.mark.parametrize("fixture", ["trained_to_regress", "trained_without_classes"])
def test_regressed_quantities_are_branches_beside_the_classes(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    trained: Trained = request.getfixturevalue(fixture)
    path, friend = write_tree(tmp_path / "ntuple.root", jets(500, 5)), tmp_path / "friend.root"
    ntuple = Ntuple(path, "Jets", selection=["jet_pt > 600"])
    score(ntuple, {str(trained.onnx): file_sha256(trained.onnx)}, friend=friend, threads=1)
    with uproot.open(friend) as file:
        branches = file["Jets"].arrays(library="np")
        description = json.loads(file["cyclotrain"])
    names = ["true_mass", "far", "ratio_q16", "ratio_q50", "ratio_q84"]
    classes = ["background", "signal"] if trained.contract.classes else []
    assert list(branches) == [f"test_{name}" for name in [*classes, *names]]
    selected = jets(500, 5)["jet_pt"] > 600
    assert all((np.isnan(branches[f"test_{name}"]) == ~selected).all() for name in names)
    assert all(((branches[f"test_{name}"] == -1) == ~selected).all() for name in classes)
    assert branches["test_far"][selected].min() > 1e6
    assert (branches["test_ratio_q16"] <= branches["test_ratio_q84"])[selected].all()
    assert description["not_selected_quantities"] == "NaN"
