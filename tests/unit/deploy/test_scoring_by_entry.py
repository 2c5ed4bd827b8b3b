"""Cross-training with `event_id: entry`: an event is scored by the model that has not seen it, also in a copy of its file."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import onnx
import pyarrow as pa
import pytest
import uproot

from cyclotrain.contract.splits import Fold, fold_index
from cyclotrain.core.files import file_sha256
from cyclotrain.deploy import friend_trees as module
from cyclotrain.deploy.friend_trees import Ntuple, score
from support.toys import jets, raw_config, skim_and_assemble, write_tree
from support.trained import Trained, with_contract

N_FOLDS = 3


def with_folds(model: Path, folder: Path) -> list[Path]:
    """Models of a cross-training. Those of the second and third fold have other weights."""
    paths = []
    for index in range(N_FOLDS):
        fold = asdict(Fold(index, N_FOLDS, 0.2))
        path = with_contract(model, folder / f"fold{index}.onnx", run=f"test-fold{index}", fold=fold, event_id="entry")
        changed = onnx.load(path)
        for initializer in changed.graph.initializer:
            if len(initializer.dims) == 2:
                values = onnx.numpy_helper.to_array(initializer) * (1 - 0.5 * index)
                initializer.raw_data = values.astype(np.float32).tobytes()
        onnx.save(changed, path)
        paths.append(path)
    return paths


def signal(models: list[Path], ntuple: Ntuple, friend: Path) -> ak.Array:
    score(ntuple, {str(path): file_sha256(path) for path in models}, friend=friend, threads=1)
    with uproot.open(friend) as file:
        return file["Jets"]["test_signal"].array()


def check(model: Path, path: str, shard: str, folder: Path) -> None:
    """Compare the scores of a copy of `path` with those of each model, by the folds of the hashes in the shard of `path`."""
    copy = shutil.copy(path, folder / "renamed.root")
    models = with_folds(model, folder)
    scores = signal(models, Ntuple(str(copy), "Jets"), folder / "friend.root")
    alone = [
        signal([with_contract(m, folder / f"{m.stem}-alone.onnx", run="test", fold=None)], Ntuple(path, "Jets"), folder / m.stem)
        for m in models
    ]
    with pa.memory_map(shard) as file:
        hashes = pa.ipc.open_file(file).read_all()["event_hash"].to_numpy()
    index = fold_index(hashes, N_FOLDS)
    flat = [np.asarray(ak.flatten(values, axis=None)) for values in (scores, *alone)]
    np.testing.assert_allclose(flat[0], np.choose(index, flat[1:]), atol=1e-6)
    assert np.bincount(index).min() > 20 and (np.abs(flat[1] - flat[2]) > 1e-3).mean() > 0.9


@pytest.mark.parametrize("rntuple", [False, True])
def test_entries(rntuple: bool, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP", 20_000)  # many batches
    path = write_tree(tmp_path / "a.root", jets(500, 3), rntuple=rntuple)
    skim_and_assemble(raw_config({"background": path, "signal": path}, event_id="entry"), tmp_path)
    check(trained.onnx, path, str(tmp_path / "signal.arrow"), tmp_path)


def jets_of_events(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 5, 400)
    return {"Jet_pt": ak.unflatten(random.normal(50 + 20 * seed, 15, counts.sum()).astype(np.float32), counts)}


def test_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP", 2000)
    paths = {name: write_tree(tmp_path / f"{name}.root", jets_of_events(i)) for i, name in enumerate(("background", "signal"))}
    raw = raw_config(
        paths, event_id="entry", object="Jet", weight="1", inputs={"jet": {"features": ["Jet_pt"]}}, model={"name": "mlp"}
    )
    raw["training"] = {"epochs": 1, "batch_size": 64}
    trained = Trained(*skim_and_assemble(raw, tmp_path), tmp_path / "out")
    check(trained.onnx, paths["signal"], str(tmp_path / "signal.arrow"), tmp_path)
