"""The demo at test size, whole; what is made again, and what is not."""

import os
import re
import secrets
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cyclotrain.contract.results import Evaluation, Gates, Verification
from cyclotrain.core.files import file_sha256
from support import REPOSITORY
from support.workflow import Workflow, small_demo

pytestmark = pytest.mark.workflow
SECRET = secrets.token_hex(8)  # not a text, which would stand in the copy of this file


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("first") / "project")
    done = workflow.run(small_demo(), **dict.fromkeys(("BEARER_TOKEN", "MLFLOW_TRACKING_PASSWORD", "HTTPS_TOKEN"), SECRET))
    (workflow.folder / "output.txt").write_text(done.stdout)
    return workflow


def test_the_demo_makes_what_the_readme_says(demo: Workflow) -> None:
    results = demo.folder / "results/demo"
    for name in (
        "model/model.onnx",
        "model/contract.json",
        "verification.json",
        "evaluation.json",
        "plots/roc.png",
        "plots/latency.png",
        "deploy/model_card.html",
        "summary.txt",
    ):
        assert (results / name).stat().st_size > 0, name
    assert Gates.read(results / "gates.json").passed
    assert Verification.read(results / "verification.json").max_abs <= 1e-5
    summary = (results / "summary.txt").read_text()
    assert "AUC, top vs qcd" in summary and "Latency" in summary


def test_a_second_run_does_nothing(demo: Workflow) -> None:
    done = demo.run(small_demo())
    assert "Nothing to be done" in done.stdout


def test_another_clone_gives_the_same_model_byte_for_byte(demo: Workflow, second_clone: Path) -> None:
    assert file_sha256(demo.folder / "results/demo/model/model.onnx") == file_sha256(second_clone)


def test_tracking_again_updates_the_run(demo: Workflow) -> None:
    def runs() -> list[tuple[str, str]]:
        with sqlite3.connect(demo.folder / "results/mlflow.db") as store:
            return store.execute("select run_uuid, status from runs").fetchall()

    before = runs()
    demo.run(small_demo(), "--forcerun", "track")
    assert runs() == before
    assert [status for _, status in before] == ["FINISHED"]
    with sqlite3.connect(demo.folder / "results/mlflow.db") as store:
        assert store.execute("select count(*) from metrics where key = 'training/validation_loss'").fetchone() == (2,)
        assert store.execute("select count(*) from logged_models").fetchone() == (1,)
        assert store.execute("select name from datasets order by name").fetchall() == [("qcd",), ("qcd_test",), ("top",)]


def test_the_report_shows_every_figure_and_so_does_snakemakes_own(demo: Workflow) -> None:
    figures = {path.stem for path in (demo.folder / "results/demo/plots").glob("*.svg")}
    page = (demo.folder / "results/demo/report.html").read_text()
    assert len(figures) > 5 and all(f'<figure id="figure-{name}"' in page for name in figures)
    demo.run(small_demo(), "--report", "snakemake.html")
    page = (demo.folder / "snakemake.html").read_text()
    assert all(f"{name}.png" in page for name in figures)


def test_nothing_secret_of_the_environment_is_written_anywhere(demo: Workflow) -> None:
    written = [path for path in demo.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(written) > 100
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_a_change_of_the_evaluation_does_not_train_again(demo: Workflow) -> None:
    raw = small_demo()
    raw["evaluation"]["signal_efficiencies"] = [0.4]
    done = demo.run(raw, "-n")
    assert "rule evaluate" in done.stdout and "rule train" not in done.stdout


def planned(workflow: Workflow) -> set[str]:
    """The rules that would run."""
    output = workflow.run(small_demo(), "-n", "--quiet", "rules").stdout
    return set(re.findall(r"^(\w+) +\d+$", output, re.MULTILINE)) - {"total", "all"}


def planned_after(workflow: Workflow, module: str, *, old: str, new: str) -> set[str]:
    """The rules that would run if `old` were `new` in a module of the package."""
    path = workflow.folder / "scripts/cyclotrain" / module
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        return planned(workflow)
    finally:
        path.write_text(before)


def test_a_change_of_the_network_trains_again_and_makes_all_that_follows(demo: Workflow) -> None:
    """All built-in networks import the shared layers."""
    rules = planned_after(demo, "networks/layers.py", old="nn.ReLU()", new="nn.Tanh()")
    assert {"train", "export", "verify", "evaluate", "gates", "bundle"} <= rules
    assert not {"simulate", "skim", "assemble", "baseline"} & rules


def test_a_change_of_a_plots_colour_draws_the_plots_again_and_runs_no_network(demo: Workflow) -> None:
    assert planned(demo) == set()
    rules = planned_after(demo, "report/plots/style.py", old="#0072B2", new="#FF0000")
    readers = {"model_card", "summarise", "report_page", "track", "require_gates", "bundle"}
    assert {"plot", "model_card", "report_page"} <= rules <= {"plot"} | readers


def test_a_run_says_a_line_for_each_job_its_summary_and_what_to_type_next(demo: Workflow) -> None:
    output = (demo.folder / "output.txt").read_text()
    assert re.search(r"^\d\d:\d\d:\d\d  \[\d+/\d+\] ✓ skim qcd/000 .* events read, ", output, re.MULTILINE)
    assert re.search(r"^\[train\] epoch  ?1/2 ", output, re.MULTILINE)
    assert "localrule" not in output and "resources:" not in output and "\033" not in output
    summary = output[output.index("Run 'demo'") :]
    assert "Gates       all 3 passed" in summary
    assert "snakemake --cores all score --configfile test.yaml" in summary
    assert "CONDOR_CONFIG" not in output


def test_the_spread_over_seeds_and_the_readme_come_from_results(demo: Workflow) -> None:
    environment = {**os.environ, "PYTHONPATH": "scripts"}

    def module(*arguments: str) -> str:
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=demo.folder, env=environment, capture_output=True, text=True, check=True).stdout

    table = module("cyclotrain.report.seeds", "--configfile", "test.yaml", "--cores", "2", "1", "1")
    area = Evaluation.read(demo.folder / "results/demo/evaluation.json").figures()["auc.qcd"].value
    assert f"{area:.4f} ± 0.0000   {area:.4f}, {area:.4f}" in table
    module("cyclotrain.report.readme", "results/demo", "results/demo")
    readme = (demo.folder / "README.md").read_text()
    assert (demo.folder / "results/demo/summary.txt").read_text() in readme
    assert f"| AUC | {area:.4f} ± 0.0000 ({area:.4f}, {area:.4f}) |" in readme
    assert readme.endswith((REPOSITORY / "README.md").read_text().rpartition("<!-- end of seeds -->")[2])
