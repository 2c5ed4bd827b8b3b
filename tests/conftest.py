"""Which tests run in one process, and the fixtures that tests of several folders use."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before the libraries are loaded. OpenMP threads that wait by spinning make a training eight times slower where processes share
# the cores, with the same weights. The tests' own processes have one thread each; whole runs as many as their rules say.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from cyclotrain.config import Config
from cyclotrain.contract import Contract
from support.toys import raw_config, skim_and_assemble, toys, with_regression, without_classes
from support.trained import Trained
from support.workflow import Workflow, made_once, small_demo

# where tests that take long are; with several processes these start first, so that none is left for the end
LONG_FIRST = ("clusters/test_htcondor", "clusters/test_faults", "workflow/test_demo", "clusters", "workflow", "runtimes", "unit")


# a loaded machine is slow, and that is no fault of the code
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


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


@pytest.fixture
def toy_files(tmp_path: Path) -> dict[str, str]:
    return toys(tmp_path)


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[..., tuple[Config, Contract, list[str]]]:
    return lambda raw, parent=None: skim_and_assemble(raw, tmp_path, parent)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    return Trained(*skim_and_assemble(raw_config(toys(folder)), folder), folder / "out")


@pytest.fixture(scope="session")
def trained_to_regress(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """It has probabilities and three quantities."""
    folder = tmp_path_factory.mktemp("trained_to_regress")
    return Trained(*skim_and_assemble(with_regression(raw_config(toys(folder, 600))), folder), folder / "out")


@pytest.fixture(scope="session")
def trained_without_classes(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """It has three quantities alone."""
    folder = tmp_path_factory.mktemp("trained_without_classes")
    raw = without_classes(with_regression(raw_config(toys(folder, 600))))
    return Trained(*skim_and_assemble(raw, folder), folder / "out")


@pytest.fixture(scope="session")
def trained_to_sort(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Its graph sorts the constituents, by what is not the order of the files."""
    folder = tmp_path_factory.mktemp("trained_to_sort")
    raw = raw_config(toys(folder))
    raw["inputs"]["pf"] |= {"sort_by": "abs(pf_eta) * jet_pt", "max_length": 4}
    return Trained(*skim_and_assemble(raw, folder), folder / "out")


@pytest.fixture(scope="session")
def second_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the small demo from a clone of its own."""
    model = "results/demo/model/model.onnx"
    return made_once(tmp_path_factory, "second-clone", lambda folder: Workflow(folder).run(small_demo(), model)) / model
