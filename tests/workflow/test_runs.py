"""Whole runs, each of its own: the examples on real files, several processes, many files, folds."""

import html
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import uproot
import yaml

from cyclotrain.contract.results import Evaluation, Gates, Verification
from cyclotrain.core.files import file_sha256, read_json_lines
from support import REPOSITORY
from support.real_files import published_file, real_file
from support.toys import jets, raw_config, toys, with_regression, without_classes, write_tree
from support.workflow import Workflow, ten_thousand_files

pytestmark = pytest.mark.workflow


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
    """Ten events of PFNano, by object: every file is made, and friend trees have a number for each fat jet, also of two files
    that have one name.
    """
    workflow = Workflow(tmp_path / "project")
    raw = yaml.safe_load((REPOSITORY / "config/examples/pfnano.yaml").read_text())
    path = real_file("pfnano.root")
    raw["samples"]["qcd"]["files"] = [str(path)]
    raw |= {"training": {"epochs": 2, "batch_size": 4}, "split": {"train": 0.4, "validation": 0.3, "test": 0.3}}
    raw["export"]["targets"] = ["CMSSW_15_0_X"]
    for folder in ("0000", "0001"):
        (workflow.folder / folder).mkdir()
        shutil.copy(path, workflow.folder / folder / "tree_1.root")
    raw["score"] = {"crab": {"files": ["000*/tree_1.root"]}}
    workflow.run(raw)
    workflow.run(raw, "score")
    results = workflow.folder / "results/pfnano"
    assert Gates.read(results / "gates.json").passed
    assert (results / "deploy/cmssw/Cyclotrain/Pfnano/data/pfnano/V01/preprocess.json").exists()
    with uproot.open(path) as ntuple, uproot.open(results / "friends/qcd/pfnano.root") as friend:
        counts = ntuple["Events"]["nFatJet"].array().tolist()
        scores = friend["Events"]["pfnano_wide"].array().tolist()
    assert list(map(len, scores)) == counts
    for folder in ("0000", "0001"):
        with uproot.open(results / f"friends/crab/{folder}/tree_1.root") as friend:
            assert friend["Events"]["pfnano_wide"].array().tolist() == scores


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
            ("test", "FINISHED"), ("test-fold0", "FINISHED"), ("test-fold1", "FINISHED"),
        ]  # fmt: skip
    with uproot.open(results / "friends/signal/signal.root") as friend:
        assert json.loads(friend["cyclotrain"])["model_sha256"] == shas
        assert friend["Jets"]["test_signal"].array(library="np").min() > 0
    assert "2 folds, 3,000 examples, each tested once" in (results / "report.html").read_text()
    assert all("Yes: all " in (results / f"fold-{fold}/report.html").read_text() for fold in range(2))


def test_data_and_systematics_are_in_gates_report_and_friend_trees(tmp_path: Path, toy_files: dict[str, str]) -> None:
    """A sample of data without truth, variations of all kinds, and importance, through the whole workflow."""
    columns = jets(600, 7)
    recorded = write_tree(tmp_path / "recorded.root", {name: columns[name] for name in columns if name != "genWeight"})
    raw = raw_config(
        toy_files,
        observers={"jet_mass": {"label": "Jet mass [GeV]"}},
        evaluation={"importance": True},
        systematics={
            "scale": {"up": {"branches": {"pf_pt": "1.05 * pf_pt"}}, "down": {"branches": {"pf_pt": "0.95 * pf_pt"}}},
            "spectrum": {"up": {"weight": "jet_pt / 600"}},
            "showers": {"up": {"samples": {"background": "other"}}},
        },
        gates={"data_p_value": ">= 0", "systematic.*.up.auc.background": "absolute <= 0.5", "clipped.*": "<= 0.1"},
        export={"targets": ["CMSSW_15_0_X"]},
    )
    raw["samples"]["recorded"] = {"files": [recorded], "tree": "Jets", "data": True, "absent": ["genWeight"]}
    raw["samples"]["other"] = {**raw["samples"]["background"], "files": [write_tree(tmp_path / "other.root", jets(600, 8))]}
    workflow = Workflow(tmp_path / "project")
    workflow.run(raw)
    results = workflow.folder / "results/test"
    gates = {gate.name for gate in Gates.read(results / "gates.json").gates}
    assert {"data_p_value", "systematic.showers.up.auc.background", "clipped.pf"} <= gates
    assert list(json.loads((results / "dataset.json").read_text())["samples"]) == ["background", "signal"]
    page = (results / "report.html").read_text()
    assert all(section in page for section in ("Data and simulation", "Systematic uncertainties", "Importance of the features"))
    workflow.run(raw, "score")
    with uproot.open(results / "friends/recorded/recorded.root") as file:
        assert file[file.keys()[0]].num_entries == 600


def test_regression_without_classes(tmp_path: Path, toy_files: dict[str, str]) -> None:
    """A cross-training whole of a model that has no classes: a figure for each quantity, gates, bundle and friend trees."""
    workflow = Workflow(tmp_path / "project")
    raw = without_classes(with_regression(raw_config(toy_files, folds=2, export={"targets": ["CMSSW_15_0_X"]})))
    raw["gates"] = {"resolution.far": "<= 1e9"}
    workflow.run(raw)
    workflow.run(raw, "score")
    results = workflow.folder / "results/test"
    summary = (results / "summary.txt").read_text()
    assert "2 folds, 3,000 examples, each tested once" in summary and "resolution of far" in summary and "AUC" not in summary
    for fold in range(2):
        folder = results / f"fold-{fold}"
        assert {gate.name for gate in Gates.read(folder / "gates.json").gates} == {"parity.model", "resolution.far"}
        plots = {path.stem for path in (folder / "deploy/plots").iterdir()}
        assert plots == {"response_true_mass", "response_far", "response_ratio", "loss", "latency"}
    with uproot.open(results / "friends/signal/signal.root") as friend:
        assert friend["Jets"]["test_far"].array(library="np").min() > 0
    with sqlite3.connect(workflow.folder / "results/mlflow.db") as store:
        names = {name for (name,) in store.execute("select distinct key from metrics")}
    assert {
        "bias.far",
        "coverage.ratio.at_0.5",
        "training/validation_loss.true_mass",
    } <= names and "training/validation_auc" not in names


def test_two_first_runs_in_one_folder_go_on_side_by_side(tmp_path: Path, toy_files: dict[str, str]) -> None:
    """They share the ONNX Runtime that they verify in, which the first one installs, and MLflow's store."""
    workflow = Workflow(tmp_path / "project")
    raw = raw_config(toy_files, export={"targets": ["CMSSW_15_0_X"]}, training={"epochs": 1, "batch_size": 128})
    runs = {
        name: workflow.start(raw, f"results/{name}/mlflow_run.json", "--cores", "1", "--config", f"run={name}")
        for name in ("one", "other")
    }
    for name, process in runs.items():
        output, _ = process.communicate()
        assert process.returncode == 0, output
        verification = Verification.read(workflow.folder / f"results/{name}/verification.json")
        assert "onnxruntime 1.20.1" in verification.runtimes
    with sqlite3.connect(workflow.folder / "results/mlflow.db") as store:
        assert store.execute("select name, status from runs order by name").fetchall() == [
            ("one", "FINISHED"), ("other", "FINISHED"),
        ]  # fmt: skip


def test_make_takes_a_config_with_spaces_in_its_path_and_comments_in_it(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "a project")
    text = yaml.safe_dump(raw_config(toys(workflow.folder)), sort_keys=False).replace("run: test", 'run: "toys"  # a note')
    (workflow.folder / "my config.yaml").write_text(text)
    (workflow.folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    # not the options of the `make test` that runs this
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ARGS"))}
    make = ["make", "--assume-old", ".venv/complete", "CONFIG=my config.yaml", "CORES=2"]
    score = ["score", "ARGS=--dry-run"]
    for target, said in ((["plan"], "assemble"), (["run", "ARGS=results/toys/dataset.json"], "Next"), (score, "rule score")):
        done = subprocess.run([*make, *target], cwd=workflow.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout + done.stderr
    assert (workflow.folder / "results/toys/dataset.json").exists()
    # Snakemake does not quote the path of the Python that runs it; `make` runs one in a folder without a space
    command = [workflow.folder / ".venv/bin/python", "-m", "snakemake", "--dry-run", "--configfile", "my config.yaml"]
    done = subprocess.run(command, cwd=workflow.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode and "a project/.venv/bin/python', whose path has a space" in done.stdout + done.stderr
