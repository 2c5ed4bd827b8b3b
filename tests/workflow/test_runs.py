"""Whole runs, each of its own: the examples on real files, several processes, many files, folds."""

import html
import json
import os
import re
import sqlite3
from pathlib import Path

import pytest
import uproot
import yaml

from conftest import REPOSITORY, Workflow, published_file, raw_config, real_file, ten_thousand_files, toys
from cyclotrain.contract.results import Evaluation, Gates
from cyclotrain.core.files import file_sha256, read_json_lines

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


def test_two_processes_train_the_same_model_as_one(tmp_path: Path) -> None:
    history = {}
    for devices in (1, 2):
        workflow = Workflow(tmp_path / str(devices))
        training = {"epochs": 3, "batch_size": 100, "accelerator": "cpu", "devices": devices}  # the last batch is of odd length
        workflow.run(raw_config(toys(workflow.folder), training=training), "results/test/train/weights.pt")
        history[devices] = read_json_lines(workflow.folder / "results/test/train/history.jsonl")
        log = (workflow.folder / "results/test/logs/train.log").read_text()
        assert "kept the epoch" in log
    assert [history[devices][-1]["device"] for devices in (1, 2)] == ["CPU", "2 x CPU"]
    for one, two in zip(history[1], history[2], strict=True):
        for figure in ("train_loss", "validation_loss", "validation_auc"):
            assert two[figure] == pytest.approx(one[figure], abs=1e-5)


def test_tracking_again_updates_the_run(demo: Workflow) -> None:
    def runs() -> list[tuple[str, str]]:
        with sqlite3.connect(demo.folder / "results/mlflow.db") as store:
            return store.execute("select run_uuid, status from runs").fetchall()

    before = runs()
    demo.run(small_demo(), "--forcerun", "track")
    assert runs() == before
    assert [status for _, status in before] == ["FINISHED"]
    with sqlite3.connect(demo.folder / "results/mlflow.db") as store:
        assert store.execute("select count(*) from metrics where key = 'validation_loss'").fetchone() == (2,)
        assert store.execute("select count(*) from logged_models").fetchone() == (1,)
        (dataset,) = store.execute("select digest from datasets").fetchall()
    contract = json.loads((demo.folder / "results/demo/model/contract.json").read_text())
    assert contract["dataset_sha256"].startswith(dataset[0])


def test_the_python_of_the_documentation_runs(demo: Workflow) -> None:
    code = "".join(re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/use-the-model.md").read_text(), re.DOTALL))
    done = subprocess.run([sys.executable, "-c", code], cwd=demo.folder, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("['qcd', 'top']\n")


def test_the_report_is_made(demo: Workflow) -> None:
    assert (demo.folder / "results/demo/report.html").stat().st_size > 1_000_000


def test_nothing_secret_of_the_environment_is_written_anywhere(demo: Workflow) -> None:
    written = [path for path in demo.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(written) > 100
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_a_change_of_the_evaluation_does_not_train_again(demo: Workflow) -> None:
    raw = small_demo()
    raw["evaluation"]["signal_efficiencies"] = [0.4]
    done = demo.run(raw, "-n")
    assert "rule evaluate" in done.stdout and "rule train" not in done.stdout


def planned(workflow: Workflow, *arguments: str) -> set[str]:
    """The rules that would run."""
    output = workflow.run(small_demo(), "-n", "--quiet", "rules", *arguments).stdout
    return set(re.findall(r"^(\w+) +\d+$", output, re.MULTILINE)) - {"total", "all"}


def test_a_change_of_a_plots_colour_draws_the_plots_again_and_runs_no_network(demo: Workflow) -> None:
    assert planned(demo) == set()
    style = demo.folder / "scripts/cyclotrain/report/plots/style.py"
    before = style.read_text()
    style.write_text(before.replace("#0072B2", "#FF0000"))
    try:
        rules = planned(demo)
    finally:
        style.write_text(before)
    plots = {"plot_roc", "plot_scores", "plot_confusion", "plot_loss", "plot_latency"}
    told = {"model_card", "summarise", "report_page", "track", "require_gates", "bundle"}
    assert plots | {"model_card", "report_page"} <= rules <= plots | told


def test_a_run_says_a_line_for_each_job_its_summary_and_what_to_type_next(demo: Workflow) -> None:
    output = (demo.folder / "output.txt").read_text()
    assert re.search(r"^\d\d:\d\d:\d\d  \[\d+/\d+\] ✓ skim qcd/000 .* events read, ", output, re.MULTILINE)
    assert re.search(r"^\[train\] epoch  ?1/2 ", output, re.MULTILINE)
    assert "localrule" not in output and "resources:" not in output and "\033" not in output
    summary = output[output.index("Run 'demo'") :]
    assert "Gates       all 3 passed" in summary
    assert "snakemake --cores all --configfile test.yaml score" in summary
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


def test_make_takes_a_config_with_spaces_in_its_path_and_comments_in_it(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "a project")
    text = yaml.safe_dump(raw_config(toys(workflow.folder)), sort_keys=False).replace("run: test", 'run: "toys"  # a note')
    (workflow.folder / "my config.yaml").write_text(text)
    (workflow.folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    make = ["make", "--assume-old", ".venv/complete", "CONFIG=my config.yaml", "CORES=2"]
    for target, said in ((["plan"], "assemble"), (["run", "ARGS=results/toys/dataset.json"], "Next")):
        done = subprocess.run([*make, *target], cwd=workflow.folder, capture_output=True, text=True, check=True)
        assert said in done.stdout + done.stderr
    assert (workflow.folder / "results/toys/dataset.json").exists()


def test_higgs(tmp_path: Path) -> None:
    """The UCI HIGGS subset: two trees in one file, 28 flat features, the mlp."""
    workflow = Workflow(tmp_path / "project")
    raw = yaml.safe_load((REPOSITORY / "config/examples/higgs.yaml").read_text())
    for sample in raw["samples"].values():
        sample["files"] = [str(real_file("Higgs_data.root"))]
    workflow.run(raw)
    figures = Evaluation.read(workflow.folder / "results/higgs/evaluation.json").figures()
    assert figures["auc.background"].value >= 0.74
    assert figures["auc.background.boosted_trees"].value >= 0.74
    assert Gates.read(workflow.folder / "results/higgs/gates.json").passed


def test_dimuon(tmp_path: Path) -> None:
    """Real jagged events, muons and jets as two sets: every file is made, and the sorted sets pass the parity gate."""
    workflow = Workflow(tmp_path / "project")
    raw = yaml.safe_load((REPOSITORY / "config/examples/dimuon.yaml").read_text())
    raw["samples"]["data"]["files"] = [str(real_file("uproot-HZZ-zstd.root"))]
    raw["training"] = {"epochs": 3, "batch_size": 64}
    raw["export"] = {"targets": ["CMSSW_15_0_X"]}
    workflow.run(raw)
    results = workflow.folder / "results/dimuon"
    assert Gates.read(results / "gates.json").passed
    dataset = json.loads((results / "dataset.json").read_text())
    assert set(dataset["constituents"]) == {"muons", "jets"}
    with uproot.open(real_file("uproot-HZZ-zstd.root")) as file:
        muons = file["events"]["NMuon"].array(library="np")
    assert 0 < dataset["samples"]["data"]["events_kept"] <= int((muons >= 2).sum())


def test_pfnano(tmp_path: Path) -> None:
    """Ten events of PFNano, by object: every file is made, and friend trees have a number for each fat jet."""
    workflow = Workflow(tmp_path / "project")
    raw = yaml.safe_load((REPOSITORY / "config/examples/pfnano.yaml").read_text())
    path = real_file("pfnano.root")
    raw["samples"]["qcd"]["files"] = [str(path)]
    raw |= {"training": {"epochs": 2, "batch_size": 4}, "split": {"train": 0.4, "validation": 0.3, "test": 0.3}}
    raw["export"]["targets"] = ["CMSSW_15_0_X"]
    workflow.run(raw)
    workflow.run(raw, "score")
    results = workflow.folder / "results/pfnano"
    assert Gates.read(results / "gates.json").passed
    assert (results / "deploy/cmssw/Cyclotrain/Pfnano/data/pfnano/V01/preprocess.json").exists()
    with uproot.open(path) as ntuple, uproot.open(results / "friends/qcd/pfnano.root") as friend:
        counts = ntuple["Events"]["nFatJet"].array().tolist()
        assert [len(scores) for scores in friend["Events"]["pfnano_wide"].array().tolist()] == counts


def test_physlite(tmp_path: Path) -> None:
    """A hundred events of ATLAS, names with dots and a list a jet: every file is made, and the model card shows the names."""
    workflow = Workflow(tmp_path / "project")
    raw = yaml.safe_load((REPOSITORY / "config/examples/physlite.yaml").read_text())
    raw["samples"]["zee"]["files"] = [str(published_file("PHYSLITE_example.root"))]
    raw |= {"training": {"epochs": 2, "batch_size": 32}, "export": {"targets": ["CMSSW_15_0_X"]}}
    workflow.run(raw)
    results = workflow.folder / "results/physlite"
    assert Gates.read(results / "gates.json").passed
    card = html.unescape((results / "deploy/model_card.html").read_text())
    assert "<code>log(`AnalysisJetsAuxDyn.pt`)</code>" in card
    assert "<code>log(`AnalysisJetsAuxDyn.EnergyPerSampling` / `AnalysisJetsAuxDyn.pt`)</code>" in card


def test_ten_thousand_files_are_a_few_jobs(tmp_path: Path) -> None:
    """Planned with every file checked, and one of the jobs run on its share."""
    workflow = Workflow(tmp_path / "project")
    raw = ten_thousand_files(workflow.folder)
    planned = workflow.run(raw, "-n", "--quiet", "rules").stdout
    (total,) = set(re.findall(r"^total +(\d+)$", planned, re.MULTILINE))
    (skims,) = set(re.findall(r"^skim +(\d+)$", planned, re.MULTILINE))
    assert 64 <= int(skims) < int(total) < 300
    workflow.run(raw, "results/dimuon/skims/data/0000-of-128.json")
    receipt = json.loads((workflow.folder / "results/dimuon/skims/data/0000-of-128.json").read_text())
    assert 40 < len(receipt["files"]) < 120
    assert receipt["events_read"] == 2421 * len(receipt["files"])


def test_folds(tmp_path: Path, toy_files: dict[str, str]) -> None:
    """A cross-training whole: a model a fold with all that a run has, one summary, and friend trees by all of them."""
    workflow = Workflow(tmp_path / "project")
    raw = raw_config(toy_files, folds=2, export={"targets": ["CMSSW_15_0_X"]}, training={"epochs": 2, "batch_size": 128})
    workflow.run(raw)
    workflow.run(raw, "score")
    results = workflow.folder / "results/test"
    shas = [file_sha256(results / f"fold-{fold}/model/model.onnx") for fold in range(2)]
    assert shas[0] != shas[1]
    assert "2 folds, 3,000 examples, each tested once" in (results / "summary.txt").read_text()
    with sqlite3.connect(workflow.folder / "results/mlflow.db") as store:
        assert store.execute("select name, status from runs order by name").fetchall() == [
            ("test-fold0", "FINISHED"), ("test-fold1", "FINISHED"),
        ]  # fmt: skip
    with uproot.open(results / "friends/signal/signal.root") as friend:
        assert json.loads(friend["cyclotrain"])["model_sha256"] == shas
        assert friend["Jets"]["test_signal"].array(library="np").min() > 0
    assert (results / "report.html").stat().st_size > 1_000_000
