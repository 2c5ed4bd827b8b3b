"""Which files make a network: a change of any of them trains again."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.networks.registry import BUILT_IN, load_model
from cyclotrain.networks.source import network_source
from cyclotrain.training.step import WeightedTraining
from support import REPOSITORY
from support.toys import raw_config
from support.trained import run_training

NETWORK = """
import json
import numpy, torch
from cyclotrain.networks.mlp import MLP as Base
from .layers import width

class Net(Base):
    def __init__(self, sets, n_classes):
        super().__init__(sets, n_classes, hidden=[width()], dropout=0, normalise=False, residual=False)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's: a network that imports its own layers, and Cyclotrain's."""
    folder = tmp_path / f"tagger_{tmp_path.name}"
    folder.mkdir()
    files = {
        "__init__.py": "", "networks.py": NETWORK,
        "layers.py": "def width():\n    from settings_of_mine import N\n    return N\n",
        "../settings_of_mine.py": "N = 8\n", "plots.py": "import torch\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_change_of_any_module_of_the_users_is_seen(package: Path) -> None:
    name = f"{package.name}.networks:Net"
    source = network_source(name)
    own = {package.name, f"{package.name}.networks", f"{package.name}.layers", "settings_of_mine"}
    parts = ("", ".mlp", ".layers", ".shapes", ".features", ".outputs", ".four_vectors", ".sets")
    built_in = {f"cyclotrain.networks{part}" for part in parts}
    assert set(source) == own | built_in
    assert source["settings_of_mine"] == file_sha256(package.parent / "settings_of_mine.py")
    (package / "plots.py").write_text("import numpy\n")
    assert network_source(name) == source
    (package.parent / "settings_of_mine.py").write_text("N = 16\n")
    assert {module for module, sha in network_source(name).items() if sha != source[module]} == {"settings_of_mine"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_network_is_its_own_file_and_what_it_uses(name: str) -> None:
    module = BUILT_IN[name].__module__
    assert {module, "cyclotrain.networks.features", "cyclotrain.networks.outputs"} <= set(network_source(name))
    others = {BUILT_IN[other].__module__ for other in BUILT_IN} - {module}
    assert not others & set(network_source(name))


def test_no_network_is_imported_to_find_its_source() -> None:
    code = "import sys, cyclotrain.networks.source as source; source.network_source('mlp'); print('torch' in sys.modules)"
    path = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
    assert subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True).stdout == "False\n"


def test_weights_are_not_used_with_another_version_of_their_network(
    package: Path, ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    inputs = {"jet": {"features": ["jet_mass"]}}
    config, contract, shards = ingest(raw_config(toy_files, model={"name": f"{package.name}.networks:Net"}, inputs=inputs))
    weights = run_training(contract, config, shards, tmp_path / "run")
    load_model(contract, config.model, weights)
    (package / "layers.py").write_text("def width():\n    return 8\n")
    changed = rf"\(settings_of_mine, {package.name}.layers\)"
    with pytest.raises(InputError, match=f"the network has changed since this training {changed}; train again"):
        load_model(contract, config.model, weights)


def test_a_stopped_training_does_not_resume_over_an_edit(
    package: Path, ingest: Any, toy_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"jet": {"features": ["jet_mass"]}}
    config, contract, shards = ingest(raw_config(toy_files, model={"name": f"{package.name}.networks:Net"}, inputs=inputs))

    def stop(training: WeightedTraining) -> None:
        if training.current_epoch == 1:
            raise RuntimeError("stopped")

    with monkeypatch.context() as stopping:
        stopping.setattr(WeightedTraining, "on_validation_epoch_start", stop)
        for text in ("width = lambda: 4\n", "width = lambda: 5\n"):
            with pytest.raises(RuntimeError, match="stopped"):
                run_training(contract, config, shards, tmp_path / "run")
            (package / "layers.py").write_text(text)
    assert len(list((tmp_path / "run").glob("ck/*/last.ckpt"))) == 2
