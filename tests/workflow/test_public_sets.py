"""The examples on public sets, as users run them: fetch, plan, run; on small files in the published layouts."""

import io
import tarfile
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import yaml

from cyclotrain.contract.results import Gates
from cyclotrain.fetch import higgs
from cyclotrain.fetch.higgs import higgs_to_root
from cyclotrain.fetch.jetclass import unpack
from cyclotrain.fetch.quark_gluon import quark_gluon_to_root
from cyclotrain.fetch.top_tagging import top_tagging_to_root
from support import REPOSITORY
from support.public_sets import higgs_csv, quark_gluon_npz, top_tagging_h5
from support.toys import write_tree
from support.workflow import Workflow

pytestmark = pytest.mark.workflow

PARTS = [
    "px", "py", "pz", "energy", "deta", "dphi", "d0val", "d0err", "dzval", "dzerr", "charge",
    "isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon",
]  # fmt: skip
JETS = ["pt", "eta", "phi", "energy", "nparticles", "sdmass", "tau1", "tau2", "tau3", "tau4"]


def example(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / f"config/examples/{name}.yaml").read_text())
    return raw


def top_tagging(folder: Path) -> None:
    for seed, (name, n) in enumerate((("train.h5", 1500), ("val.h5", 300), ("test.h5", 300))):
        top_tagging_h5(folder / name, n, seed)
        top_tagging_to_root(folder / name, folder)


def quark_gluon(folder: Path) -> None:
    for seed, name in enumerate(("QG_jets.npz", *(f"QG_jets_{i}.npz" for i in range(1, 20)))):
        quark_gluon_npz(folder / name, 20, seed)
        quark_gluon_to_root(folder / name, folder)


def higgs_full(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(higgs, "TEST_EVENTS", 200)
        patch.setattr(higgs, "VALIDATION_EVENTS", 100)
        higgs_csv(folder / "HIGGS.csv.gz", 600)
        higgs_to_root(folder / "HIGGS.csv.gz", folder, events=600)


def jetclass(folder: Path) -> None:
    """An archive for each split, with a file of one class."""
    random = np.random.default_rng(1)
    labels = [f"label_{name}" for name in example("jetclass")["classes"]]
    for archive in ("train_100M_part0", "val_5M", "test_20M"):
        counts = random.integers(1, 30, 100)
        part = {name: ak.unflatten(random.exponential(1, counts.sum()).astype(np.float32), counts) for name in PARTS}
        jet = {f"jet_{name}": random.exponential(1, 100).astype(np.float32) for name in JETS}
        label = {name: np.full(100, name == "label_Hbb", np.int32) for name in labels}
        content = Path(write_tree(folder / "HToBB_000.root", {"part": ak.zip(part), **jet, **label}, "tree")).read_bytes()
        with tarfile.open(folder / f"JetClass_Pythia_{archive}.tar", "w") as file:
            info = tarfile.TarInfo("HToBB_000.root")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        unpack(folder / f"JetClass_Pythia_{archive}.tar", folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("public") / "project")
    for make, name in ((top_tagging, "top_tagging"), (quark_gluon, "quark_gluon"), (jetclass, "jetclass"), (higgs_full, "higgs")):
        (workflow.folder / "data" / name).mkdir(parents=True)
        make(workflow.folder / "data" / name)
    return workflow


@pytest.mark.parametrize("name", ["top_tagging", "quark_gluon", "jetclass", "higgs_full"])
def test_an_example_as_it_is_plans_on_what_fetch_makes(name: str, project: Workflow) -> None:
    done = project.run(example(name), "--dry-run", "--quiet", "rules")
    assert "train" in done.stdout and "bundle" in done.stdout


def test_top_tagging_runs_from_the_published_layout_to_the_gates(project: Workflow) -> None:
    """The network and its training as in the example, in a small size."""
    raw = example("top_tagging")
    raw["model"]["options"] = {"embedding": [32], "layers": 1, "heads": 2, "pair": [8], "head": [16]}
    raw["training"] |= {"epochs": 6, "batch_size": 64, "learning_rate": 0.01}
    raw["inputs"]["part"]["max_length"] = 32
    raw["export"] = {"targets": ["CMSSW_15_0_X"]}
    raw["gates"] = {"auc.*": ">= 0.75"}
    project.run(raw)
    gates = Gates.read(project.folder / "results/top-tagging/gates.json")
    assert gates.passed and (project.folder / "results/top-tagging/deploy").is_dir()
