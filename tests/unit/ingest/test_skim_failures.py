"""Failures of a skim: damaged or different files, policies for them, kills and full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from test_skim import everything, skim_one

from cyclotrain.config import load
from cyclotrain.contract import Layout
from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import iterate_split
from cyclotrain.expressions import ExpressionError
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from support import REPOSITORY
from support.toys import jets, raw_config, write_tree


def skim_signal(raw: dict[str, Any], paths: list[str], folder: Path, *, skip_broken: bool) -> None:
    recipe = Recipe.from_config(load(raw), "signal")
    skim(recipe, paths, friends={}, skip_broken=skip_broken, shard=folder / "out.arrow", receipt=folder / "out.json")


def damaged(kind: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = folder / "jets.root"
        columns = jets(4000, 6)
        if kind == "missing":
            return str(path)
        if kind == "not ROOT":
            path.write_text("run,event,pt\n1,1,30\n")
            return str(path)
        if kind == "empty file":
            path.touch()
            return str(path)
        if kind == "other tree":
            return write_tree(path, columns, "Jetz")
        if kind == "missing branch":
            columns["jet_pT"] = columns.pop("jet_pt")
        if kind == "lengths":
            columns["pf_charge"] = ak.Array(columns["pf"]["charge"])
            pf = columns.pop("pf")
            columns |= {f"pf_{name}": pf[name] for name in ("pt", "eta", "phi")}
            columns["pf_charge"] = ak.concatenate([columns["pf_charge"][:100], columns["pf_charge"][101:], [[1]]])
        if kind == "jagged scalar":
            columns["jet_pt"] = ak.Array([[pt] for pt in columns["jet_pt"]])
        if kind == "flat constituents":
            columns |= {f"pf_{name}": columns["jet_pt"] for name in ("pt", "eta", "phi", "charge")}
            del columns["pf"]
        if kind == "NaN weight":
            columns["genWeight"][7] = np.nan
        if kind == "text":
            columns["jet_pt"] = ak.Array(["a"] * 4000)
        write_tree(path, columns)
        if kind == "truncated":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        if kind == "damaged basket":
            damaged_bytes = bytearray(path.read_bytes())
            start = len(damaged_bytes) // 3
            damaged_bytes[start : start + 2000] = bytes(2000)
            path.write_bytes(damaged_bytes)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"jets.root: no such file"),
        ("not ROOT", r"jets.root: cannot be read as a ROOT file"),
        ("empty file", r"jets.root: cannot be read as a ROOT file; .* \(0 bytes"),
        ("truncated", r"jets.root: truncated: it has \d+ bytes, and its header says \d+"),
        ("damaged basket", r"jets.root: cannot be read as a ROOT file"),
        ("other tree", r"jets.root: no tree 'Jets'; did you mean 'Jetz'\?"),
        ("missing branch", r"tree 'Jets' has no branch 'jet_pt'; nearest names: jet_pT"),
        (
            "lengths",
            r"branches of one set have different lengths: 'pf_pt' has \d+ and 'pf_charge' has \d+ elements in entry 1\d\d",
        ),
        ("jagged scalar", r"branch 'jet_pt' has a list or an array per example; give inputs.jet 'max_length' and 'valid'"),
        ("flat constituents", r"inputs.pf has 'max_length', but none of its branches is jagged"),
        ("NaN weight", r"the weight 'genWeight' is NaN or infinite, as float32, for 1 selected events"),
        ("text", r"branch 'jet_pt' of tree 'Jets' is of type .*; only a number, a list of numbers, or"),
    ],
)
def test_a_bad_file_is_named_and_leaves_nothing_behind(kind: str, message: str, tmp_path: Path) -> None:
    path = damaged(kind)(tmp_path)
    before = set(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        skim_one(tmp_path, path)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["not ROOT", "other tree", "missing branch", "truncated", "damaged basket", "flat constituents"])
def test_skip_broken_leaves_out_the_whole_file_and_reports_it(kind: str, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    paths = [
        write_tree(tmp_path / "1.root", jets(700, 1)),
        damaged(kind)(tmp_path / "bad"),
        write_tree(tmp_path / "2.root", jets(300, 2)),
    ]
    raw = raw_config({"background": paths[0], "signal": paths[0]})
    skim_signal(raw, paths, tmp_path, skip_broken=True)
    receipt = json.loads((tmp_path / "out.json").read_text())
    assert sum(map(len, everything(tmp_path / "out.arrow", receipt))) == receipt["events_kept"] == 1000
    assert [file["path"] for file in receipt["files"]] == [paths[0], paths[2]]
    (skipped,) = receipt["skipped"]
    assert skipped["path"] == paths[1]
    assert paths[1] in skipped["reason"]


def test_files_may_have_trees_of_different_names(tmp_path: Path) -> None:
    paths = [write_tree(tmp_path / f"{tree}.root", jets(100, seed), tree) for seed, tree in enumerate(("Events", "Jets"))]
    raw = raw_config({"background": paths[0], "signal": paths[0]})
    raw["samples"]["signal"]["tree"] = ["Jets", "Events"]
    skim_signal(raw, paths, tmp_path, skip_broken=False)
    assert json.loads((tmp_path / "out.json").read_text())["events_kept"] == 200
    raw["samples"]["signal"]["tree"] = ["Jet", "Event"]
    with pytest.raises(InputError, match=r"no tree 'Jet' or 'Event'; trees of this file: Events"):
        skim_signal(raw, paths, tmp_path, skip_broken=False)


def test_a_job_without_any_good_file_has_an_empty_shard(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    path = damaged("not ROOT")(tmp_path / "bad")
    raw = raw_config({"background": path, "signal": path})
    skim_signal(raw, [path], tmp_path, skip_broken=True)
    receipt = json.loads((tmp_path / "out.json").read_text())
    assert (receipt["layout"], receipt["files"], receipt["events_kept"]) == (None, [], 0)
    layout = Layout((), {}, ())
    assert list(iterate_split([tmp_path / "out.arrow"], layout, "train", normalisation={"signal": 1.0}, fold=None)) == []


def test_an_error_of_the_analysis_is_never_skipped(tmp_path: Path) -> None:
    path = damaged("NaN weight")(tmp_path)
    raw = raw_config({"background": path, "signal": path})
    with pytest.raises(InputError, match="NaN or infinite, as float32, for 1 selected events"):
        skim_signal(raw, [path], tmp_path, skip_broken=True)


def test_labels_outside_the_classes_are_counted_and_named(tmp_path: Path) -> None:
    columns = jets(100)
    columns["isSignal"] = np.where(np.arange(100) < 3, 2, 0).astype(np.int32)
    path = write_tree(tmp_path / "jets.root", columns)
    with pytest.raises(InputError, match=r"label 'isSignal' is 2 for 3 selected events, but must be 0 = background, 1 = signal"):
        skim_one(tmp_path, path, sample={"label": "isSignal"})
    with pytest.raises(InputError, match=r"label 'log\(jet_eta - 9\)' is nan for 100 selected events"):
        skim_one(tmp_path, path, sample={"label": "log(jet_eta - 9)"})


def test_an_expression_that_cannot_be_computed_is_named(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(100))
    with pytest.raises(
        ExpressionError, match=r"jets.root: entries 0 to 99: selection 1: this must be a condition, .* position 1 of"
    ):
        skim_one(tmp_path, path, selection="jet_pt & jet_eta")
    with pytest.raises(
        ExpressionError, match=r"entries 0 to 99: selection 1: 'jet_pt == 33554433' cannot be computed: .* cannot be 33554433"
    ):
        skim_one(tmp_path, path, selection="jet_pt == 33554433")


def test_a_weight_beyond_single_precision_is_named(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(100))
    with pytest.raises(InputError, match=r"the weight 'genWeight \* 1e39' is NaN or infinite, as float32, for 100 selected"):
        skim_one(tmp_path, path, weight="genWeight * 1e39")


@pytest.mark.parametrize("define", [{"ratio": "ratio * 2"}, {"ratio": "later + 1", "later": "jet_pt"}])
def test_a_definition_by_itself_or_by_a_later_one_is_named(define: dict[str, str], tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(100))
    with pytest.raises(InputError, match=r"define.ratio: '(ratio|later)' is defined here or later"):
        skim_one(tmp_path, path, define=define, selection="ratio > 1")


def test_a_selection_that_is_a_number_is_refused(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(100))
    with pytest.raises(InputError, match=r"the selection 'jet_mass' is a number, not a condition"):
        skim_one(tmp_path, path, selection="jet_mass")


def test_a_branch_of_define_cannot_be_a_feature(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(100))
    inputs = {"jet": {"features": ["ratio"]}}
    with pytest.raises(InputError, match=r"inputs.jet: 'ratio' is from `define`"):
        skim_one(tmp_path, path, define={"ratio": "jet_mass / jet_pt"}, inputs=inputs, model={"name": "mlp"})


# without conftest, which imports much more
SLOW_SKIM = """
import json, sys, time
sys.path.insert(0, {scripts!r})
from cyclotrain.ingest import skim
from cyclotrain.ingest.recipe import Recipe
original = skim._to_arrow
def slow(*arguments):
    print("writing", flush=True)
    time.sleep({seconds})
    return original(*arguments)
skim._to_arrow, skim.STEP = slow, 10_000
files = {{"shard": {folder!r} + "/out.arrow", "receipt": {folder!r} + "/out.json"}}
skim.skim(Recipe(**json.loads({recipe!r})), [{path!r}], friends={{}}, skip_broken=False, **files)
"""


def slow_skim(path: str, folder: Path, seconds: float) -> list[str]:
    """The command of a skim that says `writing` before each part of the shard, and then waits."""
    recipe = json.dumps(Recipe.from_config(load(raw_config({"background": path, "signal": path})), "signal").to_dict())
    scripts = str(REPOSITORY / "scripts")
    return [
        sys.executable,
        "-c",
        SLOW_SKIM.format(scripts=scripts, recipe=recipe, path=path, folder=str(folder), seconds=seconds),
    ]


def test_a_kill_in_the_middle_of_a_shard_leaves_no_shard(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "jets.root", jets(4000, 6))
    process = subprocess.Popen(slow_skim(path, tmp_path, 0.2), stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "writing\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out.arrow").exists()
    assert not (tmp_path / "out.json").exists()
    skim_one(tmp_path, path)  # leftovers do not disturb the next try
    assert (tmp_path / "out.json").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX has file size limits")
def test_a_full_disk_is_named_and_leaves_no_shard(tmp_path: Path) -> None:
    """A limit on the file size makes a write fail like a full disk, but with EFBIG instead of ENOSPC."""
    path = write_tree(tmp_path / "jets.root", jets(4000, 6))
    limited = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
    *python, code = slow_skim(path, tmp_path, 0)
    process = subprocess.run([*python, limited + code], capture_output=True, text=True, check=False)
    assert process.returncode != 0
    assert "out.arrow' was not written" in process.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"jets.root"}
