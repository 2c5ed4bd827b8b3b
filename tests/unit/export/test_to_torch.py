"""The model as TorchScript: its answers, its metadata, and what is not in the file."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import METADATA_PREFIX
from cyclotrain.export.to_torch import archive, export_torchscript, model_to_torchscript
from cyclotrain.networks.registry import Outputs
from support import REPOSITORY
from support.trained import NETWORKS, Trained, untrained

EXPORT = """
import json, sys
from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.export.to_torch import export_torchscript
from cyclotrain.export.trained import TrainedModel
contract, model, weights, path = sys.argv[1:]
export_torchscript(TrainedModel(Contract.read(contract), ModelConfig(**json.loads(model)), weights), path)
"""


@pytest.fixture(scope="module")
def exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torchscript") / "pytorch/model.pt"
    export_torchscript(trained.model, path)
    return path


def test_the_contract_and_the_provenance_are_in_extra_files(exported: Path, trained: Trained) -> None:
    names = ("contract", "weights_sha256", "classes", "version")
    extra: dict[str, Any] = {METADATA_PREFIX + name: "" for name in names}
    torch.jit.load(exported, _extra_files=extra)
    contract, weights, classes, version = (extra[METADATA_PREFIX + name].decode() for name in names)
    assert Contract.from_dict(json.loads(contract)) == trained.contract
    assert [branch["branch"] for branch in json.loads(contract)["inputs"]] == list(trained.contract.layout.inputs)
    assert len(weights) == 64 and classes == "background,signal" and version


def test_the_bytes_depend_on_neither_the_process_nor_the_checkout_and_hold_no_path(trained: Trained, tmp_path: Path) -> None:
    trained.contract.write(tmp_path / "contract.json")
    model = trained.config.model.model_dump_json()
    written = []
    for clone in (tmp_path / "clone", tmp_path / "another/clone"):
        scripts, path = clone / "scripts", clone / "pytorch/model.pt"
        shutil.copytree(REPOSITORY / "scripts/cyclotrain", scripts / "cyclotrain")
        command = [sys.executable, "-c", EXPORT, tmp_path / "contract.json", model, trained.weights, path]
        subprocess.run(command, check=True, cwd=clone, env={**os.environ, "PYTHONPATH": str(scripts)})
        written.append(path.read_bytes())
    assert written[0] == written[1]
    with zipfile.ZipFile(io.BytesIO(written[0])) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
        assert not [name for name in archive.namelist() if "debug_pkl" in name or "traced_inputs" in name]
    for path in (REPOSITORY, tmp_path, sys.prefix, "/home/", "site-packages"):
        assert str(path).encode() not in content


def test_several_outputs_are_a_tuple_in_the_order_of_the_contract(trained_to_regress: Trained, tmp_path: Path) -> None:
    export_torchscript(trained_to_regress.model, tmp_path / "model.pt")
    contract = trained_to_regress.contract
    branches = {branch: torch.rand(3, 5 if name else 1) for branch, name in contract.layout.inputs.items()}
    with torch.inference_mode():
        answers = torch.jit.load(tmp_path / "model.pt")(*branches.values())
        expected = Outputs(trained_to_regress.model.load()).eval()(branches)
    assert [tuple(answer.shape) for answer in answers] == [(3, len(output.columns)) for output in contract.outputs]
    for answer, values in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer, values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_gives_pytorchs_answers_for_all_shapes_as_a_consumer_loads_it(network: str, tmp_path: Path) -> None:
    """ParticleNet divides whole numbers: without the archive's version, LibTorch would take the quotient of old times."""
    contract, outputs = untrained(network, tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(archive(model_to_torchscript(outputs, contract), {}))
    as_loaded, frozen = torch.jit.load(path), torch.jit.freeze(torch.jit.load(path).eval())
    random = torch.Generator().manual_seed(1)
    for size, length in ((1, 1), (1, 8), (2, 3), (7, 20), (64, 9), (1, 200), (3, 2)):
        shapes = (length if name else 1 for name in contract.layout.inputs.values())
        values = [3 * torch.rand(size, n, generator=random) for n in shapes]
        with torch.inference_mode():
            expected = outputs(dict(zip(contract.layout.inputs, values, strict=True)))[0]
            for module in (as_loaded, frozen):
                np.testing.assert_allclose(module(*values), expected, rtol=0, atol=1e-5, err_msg=f"{size} x {length}")
