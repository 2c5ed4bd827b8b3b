"""Small real ROOT files, small configs, where the real experiment files lie, and which tests run in one process."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Before the libraries are loaded. OpenMP threads that wait by spinning make a training eight times slower where processes share
# the cores, with the same weights. The tests' own processes have one thread each; whole runs as many as their rules say.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

from cyclotrain.config import Config, EvaluationConfig, load
from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL, Curves, Evaluation, Timing, Verification
from cyclotrain.contract.run import Run
from cyclotrain.core.files import atomic
from cyclotrain.data.assemble import assemble
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.evaluation.boosted_trees import baseline
from cyclotrain.evaluation.evaluate import Models, evaluate
from cyclotrain.evaluation.timing import Exported, time_model
from cyclotrain.export.to_onnx import TrainedModel, export
from cyclotrain.gates.judge import judge
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from cyclotrain.ingest.sources import resolve_files
from cyclotrain.parity.cases import References
from cyclotrain.parity.verify import Artefact, Runtimes, verify
from cyclotrain.training.train import TrainingFiles, train

REPOSITORY = Path(__file__).parents[1]
REAL_FILES = "CYCLOTRAIN_REAL_FILES"
# where tests that take long are; with several processes these start first, so that none is left for the end
LONG_FIRST = ("clusters/test_htcondor", "clusters/test_faults", "workflow/test_demo", "clusters", "workflow", "runtimes", "unit")


class Groups(LoadScopeScheduling):  # type: ignore[misc]
    """Which tests one process of `pytest -n` runs one after another; `--dist loadgroup` has no effect in pytest 9.2.

    A file of tests, as they share fixtures; all tests of a cluster, of which there is one; a whole run that shares nothing.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        if "clusters/" in path:
            return "slurm" if "slurm" in nodeid else "htcondor"
        if path.endswith("workflow/test_runs.py"):
            return nodeid
        if path.endswith("workflow/test_profiles.py"):  # a run a profile
            return f"{path}[{test.partition('[')[2]}"
        return path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: [f"tests/{part}" in item.nodeid for part in LONG_FIRST].index(True))


def real_file(name: str) -> Path:
    """A real experiment file from the folder that CYCLOTRAIN_REAL_FILES names, else from scikit-hep-testdata; or skip."""
    folder = os.environ.get(REAL_FILES)
    if folder and (Path(folder) / name).is_file():
        return Path(folder) / name
    skhep_testdata = pytest.importorskip(
        "skhep_testdata",
        reason=f"'{name}' is not in ${REAL_FILES} ({folder}), and scikit-hep-testdata is not installed",
    )
    try:
        return Path(skhep_testdata.data_path(name))
    except Exception as error:
        pytest.skip(f"'{name}' is neither in ${REAL_FILES} ({folder}) nor to be had from scikit-hep-testdata: {error}")


# the source archive of this release has real files for its own tests
COFFEA, COFFEA_SHA256 = "coffea==2026.9.0", "7dfc1b54d9d1533c8a5bd8a5786d13272ea1a170b0817061d4478f721aedae04"


def published_file(name: str) -> Path:
    """A real experiment file of those that coffea is published with, fetched once by pip (30 MB); or skip without a network."""
    folder = Path(tempfile.gettempdir()) / f"cyclotrain-{COFFEA_SHA256[:16]}"
    archive, path = folder / f"{COFFEA.replace('==', '-')}.tar.gz", folder / name
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not archive.exists():
            with tempfile.TemporaryDirectory(dir=folder) as download:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "coffea", COFFEA]
                done = subprocess.run(command, cwd=download, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"'{name}' cannot be fetched: {done.stderr[-300:]}")
                fetched = Path(download) / archive.name
                assert hashlib.sha256(fetched.read_bytes()).hexdigest() == COFFEA_SHA256
                fetched.replace(archive)
        if not path.exists():
            with tarfile.open(archive) as files, atomic(path) as temporary:
                file = files.extractfile(f"{archive.name.removesuffix('.tar.gz')}/tests/samples/{name}")
                assert file
                temporary.write_bytes(file.read())
    return path


def jets(n: int, seed: int = 0, is_signal: bool = False, max_constituents: int = 12) -> dict[str, Any]:
    """Branches of `n` toy jets, some without constituents; signal has harder and wider constituents."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, max_constituents + 1, n)
    total = int(counts.sum())

    def jagged(values: Any) -> ak.Array:
        return ak.unflatten(values, counts)

    return {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": random.integers(1, 50, n).astype(np.uint32),
        "event": random.permutation(n).astype(np.uint64) + np.uint64(1_000_000 * seed),
        "genWeight": random.uniform(0.5, 1.5, n).astype(np.float32),
        "isSignal": np.full(n, is_signal, np.int32),
        "jet_pt": random.uniform(500, 700, n).astype(np.float32),
        "jet_eta": random.uniform(-2, 2, n).astype(np.float32),
        "jet_phi": random.uniform(-np.pi, np.pi, n).astype(np.float32),
        "jet_mass": random.normal(120 if is_signal else 60, 25, n).astype(np.float32),
        "pf": ak.zip(
            {
                "pt": jagged((random.exponential(12 if is_signal else 8, total) + 0.5).astype(np.float32)),
                "eta": jagged(random.normal(0, 0.4 if is_signal else 0.2, total).astype(np.float32)),
                "phi": jagged(random.uniform(-np.pi, np.pi, total).astype(np.float32)),
                "charge": jagged(random.integers(-1, 2, total).astype(np.int32)),
            }
        ),
    }


def write_tree(path: Path, columns: dict[str, Any], tree: str = "Jets", rntuple: bool = False) -> str:
    """Write one TTree or RNTuple, the same branches in both, and return the path."""
    columns = {name: ak.Array(column) for name, column in columns.items()}
    if rntuple:
        flat = {}
        for name, column in columns.items():
            flat |= {f"{name}_{field}": column[field] for field in column.fields} if column.fields else {name: column}
        with uproot.recreate(path) as file:
            file.mkrntuple(tree, {name: column.type.content for name, column in flat.items()}).extend(flat)
        return str(path)
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: column.type for name, column in columns.items()}).extend(columns)
    return str(path)


def raw_config(files: dict[str, str], **changes: Any) -> dict[str, Any]:
    """A small config on toy jets: {"background": path, "signal": path}."""
    return {
        "run": "test",
        "samples": {name: {"files": [path], "tree": "Jets", "label": name} for name, path in files.items()},
        "weight": "genWeight",
        "classes": ["background", "signal"],
        "inputs": {
            "jet": {"features": ["log(jet_pt)", "abs(jet_eta)", "jet_mass / jet_pt"]},
            "pf": {
                "max_length": 8,
                "valid": "pf_pt > 0",
                "features": ["log(pf_pt / jet_pt)", "pf_eta", "delta_phi(pf_phi, jet_phi)", "pf_charge == 0"],
            },
        },
        "model": {"name": "deep_sets", "options": {"phi": [16, 16], "rho": [16]}},
        "training": {"epochs": 3, "batch_size": 128},
        **changes,
    }


def toys(folder: Path) -> dict[str, str]:
    """Toy jets of two classes on disk, for `raw_config`."""
    return {
        "background": write_tree(folder / "background.root", jets(1500, 1)),
        "signal": write_tree(folder / "signal.root", jets(1500, 2, is_signal=True)),
    }


def skim_and_assemble(raw: dict[str, Any], folder: Path) -> tuple[Config, Contract, list[str]]:
    """Load a config, skim its samples and assemble; gives the config, the contract and the shards."""
    config = load(raw)
    shards, receipts = [], []
    for name, files in resolve_files(config).items():
        shards.append(str(folder / f"{name}.arrow"))
        receipts.append(str(folder / f"{name}.json"))
        skim(Recipe.from_config(config, name), files, friends={}, skip_broken=False, shard=shards[-1], receipt=receipts[-1])
    path = folder / "contract.json"
    recipe = DatasetRecipe.from_config(config, fold=None)
    assemble(recipe, receipts=receipts, shards=shards, contract=path, dataset=folder / "dataset.json")
    return config, Contract.read(path), shards


@pytest.fixture
def toy_files(tmp_path: Path) -> dict[str, str]:
    return toys(tmp_path)


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[[dict[str, Any]], tuple[Config, Contract, list[str]]]:
    return lambda raw: skim_and_assemble(raw, tmp_path)


def run_training(contract: Contract, config: Any, shards: list[str], folder: Path, delay: float = 0.0) -> Path:
    folder.mkdir(exist_ok=True)
    if delay:  # slow steps, to be killed in the middle of an epoch
        from cyclotrain.training.train import WeightedTraining

        step = WeightedTraining.training_step

        def slow(*arguments: Any) -> Any:
            time.sleep(delay)
            return step(*arguments)

        WeightedTraining.training_step = slow  # type: ignore[method-assign]
    train(
        contract,
        shards,
        model=config.model,
        training=config.training,
        threads=1,
        files=TrainingFiles(folder / "weights.pt", folder / "history.jsonl", folder / "ck"),
    )
    return folder / "weights.pt"


class Trained:
    def __init__(self, config: Any, contract: Contract, shards: list[str], folder: Path) -> None:
        self.config, self.contract, self.shards, self.folder = config, contract, shards, folder
        self.dataset = Path(shards[0]).with_name("dataset.json")
        self.weights = run_training(contract, config, shards, folder)
        self.onnx = folder / "model.onnx"
        self.model = TrainedModel(contract, config.model, self.weights)
        export(self.model, targets=config.export.targets, path=self.onnx)

    def verify(
        self, exported: Path | None = None, environments: Sequence[Path] = (), others: Sequence[Artefact] = ()
    ) -> Verification:
        evidence = self.folder / "evidence.npz"
        evidence.unlink(missing_ok=True)
        return verify(
            self.contract,
            References(self.contract, self.config.model, self.weights),
            [Artefact(MODEL, str(exported or self.onnx), 1e-5, tf32_tolerance=0.05), *others],
            shards=self.shards,
            runtimes=Runtimes(environments, threads=2),
            evidence=evidence,
        )

    def evaluate(self, **variants: Path) -> tuple[Evaluation, Curves]:
        """The physics of the model and of variants, beside boosted trees."""
        trees = self.folder / "baseline.npy"
        if not trees.exists():
            baseline(self.contract, self.shards, path=trees)
        return evaluate(
            self.contract, Models(self.onnx, variants, trees), shards=self.shards, signal_efficiencies=[0.3, 0.5], threads=1
        )

    def time(self, **variants: Path) -> Timing:
        exported = Exported(self.onnx, self.weights, variants)
        return time_model(self.contract, self.config.model, exported, shards=self.shards, environments=[])

    def run(self) -> Run:
        """A finished run, as its files tell it."""
        files = {name: self.folder / f"{name}.json" for name in ("verification", "evaluation", "curves", "timing", "gates")}
        if not files["gates"].exists():
            verification, (evaluation, curves) = self.verify(), self.evaluate()
            results = {"verification": verification, "evaluation": evaluation, "curves": curves, "timing": self.time()}
            for name, result in results.items():
                result.write(files[name])
            judge(verification, evaluation, limits=EvaluationConfig(minimum_auc=0.5), rejection_losses={}).write(files["gates"])
        contract, history = self.dataset.with_name("contract.json"), self.folder / "history.jsonl"
        return Run.read({**files, "model": self.onnx, "contract": contract, "dataset": self.dataset, "history": history})


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    return Trained(*skim_and_assemble(raw_config(toys(folder)), folder), folder / "out")


@pytest.fixture(scope="session")
def trained_to_sort(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Its graph sorts the constituents, by what is not the order of the files."""
    folder = tmp_path_factory.mktemp("trained_to_sort")
    raw = raw_config(toys(folder))
    raw["inputs"]["pf"] |= {"sort_by": "abs(pf_eta) * jet_pt", "max_length": 4}
    return Trained(*skim_and_assemble(raw, folder), folder / "out")


def small_demo() -> dict[str, Any]:
    """The demo with few jets, of few constituents, for one target; HIGGS is verified for all of them."""
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    for sample in raw["samples"].values():
        sample["simulate"] |= {"jets": 1000, "files": 2}
    raw["inputs"]["constituents"]["max_length"] = 16
    raw["training"] |= {"epochs": 2}
    raw["evaluation"] |= {"minimum_auc": 0.8}
    raw["export"]["targets"] = ["CMSSW_15_0_X"]
    return raw


def ten_thousand_files(project: Path) -> dict[str, Any]:
    """Links to one real file, and a config for them, whose skims are 128 jobs."""
    one = project / "one.root"
    shutil.copy(real_file("uproot-HZZ-lz4.root"), one)
    (project / "many").mkdir()
    for i in range(10_000):
        os.link(one, project / f"many/{i:05d}.root")
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/examples/dimuon.yaml").read_text())
    raw["samples"]["data"]["files"] = ["many/*.root"]
    raw["job_size"] = 0.04
    return raw


class Workflow:
    """A copy of this project's files elsewhere, as a clean clone has them, and snakemake in it."""

    def __init__(self, folder: Path, copy: bool = True) -> None:
        self.folder = folder
        if not copy:
            return
        folder.mkdir(parents=True, exist_ok=True)
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines()
        for name in files:
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, folder / name)

    def write_config(self, raw: dict[str, Any]) -> None:
        (self.folder / "test.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))

    def start(self, raw: dict[str, Any], *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start snakemake with the config."""
        self.write_config(raw)
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "test.yaml"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        return subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**inherited, "PATH": path, **environment},
        )  # fmt: skip

    def run(
        self, raw: dict[str, Any], *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake with the config, on two cores unless a profile is given; its output, both streams, is in `stdout`."""
        where = () if "--workflow-profile" in arguments else ("--cores", "2")
        process = self.start(raw, *where, *arguments, **environment)
        output, _ = process.communicate()
        done = subprocess.CompletedProcess(process.args, process.returncode, output)
        if check and done.returncode:
            pytest.fail(f"snakemake ended with {done.returncode}:\n{done.stdout[-6000:]}")
        return done


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills, once for all processes of a pytest run."""
    root = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    folder, complete = root / name, root / f"{name}.complete"
    with FileLock(root / f"{name}.lock"):
        if not complete.exists():
            make(folder)
            complete.touch()
    return folder


@pytest.fixture(scope="session")
def second_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the small demo from a clone of its own."""
    model = "results/demo/model/model.onnx"
    return made_once(tmp_path_factory, "second-clone", lambda folder: Workflow(folder).run(small_demo(), model)) / model
