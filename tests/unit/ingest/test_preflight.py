"""Wrong configs and files, by the calls that the Snakefile makes; `workflow/test_bad_input.py` has a few through Snakemake."""

from pathlib import Path
from typing import Any

import pytest

from cyclotrain.config import load
from cyclotrain.ingest.preflight import check_inputs
from cyclotrain.ingest.sources import Sources
from support.toys import jets, raw_config, write_tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file, one that is no ROOT file, and one that is cut in the middle."""
    folder = tmp_path_factory.mktemp("files")
    good = Path(write_tree(folder / "good.root", jets(500)))
    (folder / "text.root").write_text("not ROOT")
    (folder / "truncated.root").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    return folder


def check(raw: dict[str, Any]) -> None:
    config = load(raw)
    check_inputs(config, Sources.from_config(config))


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = raw_config({"background": "good.root", "signal": "good.root"})
    *parents, last = path.split(".")
    inner: Any = raw
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("samples.signal.files", ["nowhere.root"], "samples.signal.files.0: no file 'nowhere.root'"),
        ("samples.signal.files", ["text.root"], "text.root: cannot be read as a ROOT file"),
        ("samples.signal.files", ["truncated.root"], "truncated.root: truncated: it has"),
        ("samples.signal.tree", "Jet", "no tree 'Jet'; did you mean 'Jets'?"),
        ("inputs.jet.features", ["log(jet_pT)"], "has no branch 'jet_pT'; nearest names: jet_pt"),
        ("inputs.jet.features", ["__import__('os')"], "inputs.jet.features.0: unknown function '__import__'"),
        ("selection", "sum(jet_pt) > 30", "selection 1: 'sum' needs a list, and this is one number, at position 5"),
        ("selection", "pf_pt > 30", "selection 1 'pf_pt > 30' is a list, because 'pf_pt' is jagged; make it one number"),
        ("inputs.jet.features", ["sum(pf_pt)"], "inputs.jet.features.0: 'sum' is for selection, define, weight and label"),
        ("inputs.pf.sort_by", "jet_pt", "inputs.pf.sort_by: 'jet_pt' has no value for each constituent"),
        ("inputs.pf.valid", "pf_pt", "inputs.pf: valid: 'pf_pt' is a number, not a condition such as `pf_pt > 0`"),
        ("inputs.pf.valid", "jet_pt > 0", "inputs.pf.valid: 'jet_pt > 0' has no value for each constituent"),
        ("inputs.jet.features", ["where(jet_eta, jet_pt, 0)"], "inputs.jet.features.0: the model reads all branches as float32"),
        ("baseline", {"features": ["where(jet_eta, jet_pt, 0)"]}, "observer 'where(jet_eta, jet_pt, 0)': the model reads all"),
        ("selection", "in > 30", "selection: syntax error: 'in' is a word of Python; write a branch of this name in backticks"),
        ("inputs.pf.valid", "abs(pf_eta) < 5", "inputs.pf.valid: 'abs(pf_eta) < 5' holds for zero padding too; it must be false"),
        ("define", {"jet_pt2": "jet_pt2 * 2"}, "define.jet_pt2: 'jet_pt2' is defined here or later"),
        (
            "flatten",
            {"variables": {"jet_pt": [5, 5]}},
            "flatten: the edges of 'jet_pt' must be at least two numbers in rising order",
        ),
        ("flatten", {"variables": {"jet_pT": [0, 5]}}, "has no branch 'jet_pT'; nearest names: jet_pt"),
        ("samples.signal.cross_section", 3.0, "samples.signal: 'cross_section' and 'sum_of_weights' go together"),
        (
            "samples.signal",
            {
                "files": ["good.root"],
                "tree": "Jets",
                "cross_section": 1,
                "sum_of_weights": {"tree": "Runs", "sum": "w"},
                "label": "signal",
            },
            "good.root: no tree 'Runs'; trees of this file: Jets",
        ),
        ("event_id", ["entry"], "event_id is [entry]; list branches whose values together differ from event to event, or"),
        ("event_id", ["run", "Event"], "has no branch 'Event'; nearest names: event. event_id is [run, Event]; list branches"),
        ("event_id", "event", "event_id: give a list of branches, such as [run, event], or the word `entry` (given: 'event')"),
        ("event_id", [], "event_id: give a list of branches, such as [run, event], or the word `entry` (given: [])"),
        ("samples.signal.split", "trian", "samples.signal.split: 'trian' is not a split; did you mean 'train'?"),
        ("trainin", {}, "trainin: unknown key; did you mean 'training'?"),
        ("score", {"data": {"files": ["good.root"], "tree": "Jet"}}, "no tree 'Jet'; did you mean 'Jets'?"),
    ],
)
def test_what_is_wrong_is_named(path: str, value: Any, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError) as error:
        check(changed(path, value))
    assert message in str(error.value)


def test_a_good_config_passes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    check(
        raw_config({"background": "good.root", "signal": "good.root"}, score={"data": {"files": ["good.root"], "tree": "Jets"}})
    )


def test_a_tree_without_event_numbers_gets_told_the_way_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    columns = {name: column for name, column in jets(50).items() if name not in ("run", "luminosityBlock", "event")}
    write_tree(folder / "numberless.root", columns)
    raw = raw_config({"background": "numberless.root", "signal": "numberless.root"})
    with pytest.raises(ValueError, match=r"has no branch 'run'.*event_id is \[run, luminosityBlock, event\].*`event_id: entry`"):
        check(raw)
    check({**raw, "event_id": "entry"})
    check({**raw, "event_id": "entry", "folds": 2, "score": {"data": {"files": ["numberless.root"], "tree": "Jets"}}})


def simulated(**changes: Any) -> dict[str, Any]:
    raw = raw_config({"background": "good.root", "signal": "good.root"})
    raw["samples"]["signal"] = {"simulate": {"process": "ttbar", "jets": 10}, "tree": "Jets", "label": "signal", **changes}
    return raw


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tree": "Events"}, "samples.signal.tree: 'Events' is not a tree of simulated samples"),
        ({"selection": "jet_pT > 3"}, "samples.signal: a simulated sample has no branch 'jet_pT'"),
    ],
)
def test_a_simulated_sample_is_checked_before_it_is_there(
    changes: dict[str, Any], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError) as error:
        check(simulated(**changes))
    assert message in str(error.value)


@pytest.mark.parametrize("files", [["truncated.root", "good.root"], ["text.root", "good.root"]])
def test_a_broken_first_file_is_passed_over_only_where_files_may_be_skipped(
    files: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    raw = changed("samples.signal.files", files)
    with pytest.raises(ValueError, match=files[0]):
        check(raw)
    check({**raw, "skip_broken": 0.5})
    # the next one is checked in its place
    raw["inputs"]["jet"]["features"] = ["log(jet_pT)"]
    with pytest.raises(ValueError, match=r"good\.root: .*has no branch 'jet_pT'"):
        check({**raw, "skip_broken": 0.5})


def test_a_sample_without_a_single_good_file_is_an_error_also_where_files_may_be_skipped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="truncated"):
        check({**changed("samples.signal.files", ["text.root", "truncated.root"]), "skip_broken": 0.5})


def test_files_that_no_worker_sees_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    config = load(raw_config({"background": "good.root", "signal": str(folder / "good.root")}))
    with pytest.raises(ValueError, match=r"samples.signal: the workers cannot see '/.*good.root'"):
        Sources.from_config(config).check_transferable()
    Sources.from_config(load(raw_config({"background": "good.root", "signal": "root://host//x.root"}))).check_transferable()


def test_jobs_are_given_the_files_that_were_looked_for_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    config = load(raw_config({"background": "go*.root", "signal": "good.root"}))
    sources = Sources.from_config(config)
    sources.save(config, tmp_path)
    monkeypatch.chdir(tmp_path)  # where no job sees the files
    assert Sources.load(config, tmp_path) == sources
