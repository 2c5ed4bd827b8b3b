"""Wrong configs and files through the real workflow: the error comes before any job, in a physicist's words."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cyclotrain.contract.results import Gates
from support.toys import jets, raw_config, write_tree
from support.workflow import Workflow

pytestmark = pytest.mark.workflow


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    return Workflow(tmp_path / "project")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainin": {}}, "trainin: unknown key; did you mean 'training'?"),
        ({"selection": "jet_pT > 30"}, "good.root: tree 'Jets' has no branch 'jet_pT'; nearest names: jet_pt"),
        ({"score": {"data": {"files": ["truncated.root"], "tree": "Jets"}}}, "truncated.root: truncated: it has"),
    ],
)
def test_an_error_is_named_before_any_job(changes: dict[str, Any], message: str, workflow: Workflow) -> None:
    """A wrong key, branch and file; `tests/unit/ingest/test_preflight.py` has all the other errors, without Snakemake."""
    good = Path(write_tree(workflow.folder / "good.root", jets(500)))
    (workflow.folder / "truncated.root").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    done = workflow.run(raw_config({"background": "good.root", "signal": "good.root"}, **changes), check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workflow.folder / "results").exists()


def test_a_sample_that_is_given_twice_is_named_in_the_plan(workflow: Workflow) -> None:
    (workflow.folder / "twice.yaml").write_text("run: test\nsamples:\n  top: {files: [a.root]}\n  top: {files: [b.root]}\n")
    command = [sys.executable, "-m", "snakemake", "-n", "--configfile", "twice.yaml"]
    done = subprocess.run(command, cwd=workflow.folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "twice.yaml: keys are given twice: 'samples.top' in lines 3 and 4." in done.stdout + done.stderr


def test_a_user_config_replaces_the_demo_and_keys_can_be_overridden(workflow: Workflow) -> None:
    good = write_tree(workflow.folder / "good.root", jets(500))
    done = workflow.run(raw_config({"background": good, "signal": good}), "-n", "--config", "run=other")
    assert "simulate" not in done.stdout
    assert "results/other/model/model.onnx" in done.stdout


def test_a_broken_file_among_many_fails_the_run_unless_it_may_be_skipped(workflow: Workflow) -> None:
    names = [f"{i}.root" for i in range(4)]
    for seed, name in enumerate(names):
        write_tree(workflow.folder / name, jets(500, seed))
    content = (workflow.folder / "2.root").read_bytes()
    (workflow.folder / "2.root").write_bytes(content[: len(content) // 2])
    raw = raw_config({"background": "0.root", "signal": "0.root"})
    raw["samples"]["signal"]["files"] = names
    done = workflow.run(raw, "results/test/dataset.json", check=False)
    assert "2.root: truncated: it has" in done.stdout
    assert not (workflow.folder / "results/test/dataset.json").exists()
    done = workflow.run({**raw, "skip_broken": 0.2}, "results/test/dataset.json", check=False)
    assert "samples.signal: 1 of 4 files were skipped, and 'skip_broken' allows 0.2 of them" in done.stdout
    workflow.run({**raw, "skip_broken": 0.25}, "results/test/dataset.json")
    dataset = json.loads((workflow.folder / "results/test/dataset.json").read_text())
    assert [file["path"] for file in dataset["skipped"]] == ["2.root"]
    assert dataset["samples"]["signal"]["events_kept"] == 1500


def test_a_new_file_is_the_only_one_that_is_read(workflow: Workflow) -> None:
    for seed in range(5):
        write_tree(workflow.folder / f"{seed}.root", jets(500, seed))
    raw = raw_config({"background": "0.root", "signal": ""}, job_size=1e-6)
    raw["samples"]["signal"]["files"] = ["[1-9].root"]
    workflow.run(raw, "results/test/dataset.json")
    shards = {path: path.stat().st_mtime_ns for path in (workflow.folder / "results/test/skims").rglob("*.arrow")}
    assert len(shards) == 5
    write_tree(workflow.folder / "22.root", jets(500, 22))  # in the middle of the others
    raw["samples"]["signal"]["files"].append("22.root")
    workflow.run(raw, "results/test/dataset.json")
    assert shards == {path: path.stat().st_mtime_ns for path in shards}
    dataset = json.loads((workflow.folder / "results/test/dataset.json").read_text())
    assert dataset["samples"]["signal"]["events_kept"] == 2500


def test_a_failed_gate_fails_the_run_at_its_end_and_every_result_tells_it(workflow: Workflow, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files, verification={"tolerance": 1e-12}, gates={"auc.*": ">= 0.9999"})
    done = workflow.run(raw, check=False)
    assert done.returncode != 0
    assert "2 of 2 gates failed, so no bundle is made" in done.stdout
    assert "required >= 0.9999; the limit is gates.auc.*" in done.stdout
    assert "(tolerance 1e-12) at example" in done.stdout
    results = workflow.folder / "results/test"
    gates = Gates.read(results / "gates.json")
    assert [gate.name for gate in gates.failed] == ["parity.model", "auc.background"]
    area = f"auc.background = {gates.failed[1].value_in_words}, required >= 0.9999"
    assert area in (results / "summary.txt").read_text()
    assert "Deploy      none: a gate failed" in (results / "summary.txt").read_text()
    assert "2 of 2 FAILED" in (results / "model_card.md").read_text()
    assert "No: 2 of 2 gates failed" in (results / "report.html").read_text()
    assert (results / "verification_evidence.npz").exists()
    assert not (results / "deploy").exists()
    with sqlite3.connect(workflow.folder / "results/mlflow.db") as store:
        assert store.execute("select status from runs").fetchall() == [("FAILED",)]
        (tag,) = store.execute("select value from tags where key = 'gates'").fetchone()
    assert area in tag
