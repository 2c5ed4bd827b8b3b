"""The exported model in the ONNX Runtime releases of the targets, each in its own environment."""

import json
import subprocess
from pathlib import Path
from typing import Any

import onnx
import pytest
from torch import Tensor, nn

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import write_json
from cyclotrain.export.to_onnx import export
from cyclotrain.parity.artefacts import OPTIMISATIONS
from cyclotrain.runtimes import targets
from cyclotrain.runtimes.environments import install
from cyclotrain.runtimes.targets import RUNTIMES, settings_for
from support.toys import raw_config
from support.trained import Trained

pytestmark = pytest.mark.runtimes


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runtimes")
    installed = {version: folder / f"run/{version}.json" for version in RUNTIMES}
    for version, path in installed.items():
        install(version, folder=folder / version, result=path)
        assert "python" in json.loads(path.read_text()), path.read_text()
    return installed


@pytest.mark.parametrize(
    "target", ["CMSSW_12_4_X", "CMSSW_13_1_X", "triton_23.12", "CMSSW_14_1_X", "CMSSW_15_0_X", "triton_26.05", "CMSSW_20_1_X"]
)
def test_the_runtimes_of_the_target_and_all_newer_ones_agree(
    target: str, environments: dict[str, Path], trained: Trained, tmp_path: Path
) -> None:
    exported = tmp_path / "model.onnx"
    export(trained.model, targets=[target], path=exported)
    model = onnx.load(exported)
    assert (model.ir_version, model.opset_import[0].version) == settings_for([target])
    versions = [v for v, r in RUNTIMES.items() if r.ir_version >= model.ir_version and r.opset >= model.opset_import[0].version]
    result = trained.verify(exported, [environments[version] for version in versions])
    assert result.passed, result.failures
    assert list(result.runtimes[1:]) == [f"onnxruntime {version}" for version in versions]
    assert result.not_run == ()
    assert len(result.matrix) == len(result.runtimes) * len(OPTIMISATIONS) * 2
    assert all(row.bitwise_repeatable for row in result.matrix)
    # the runtime is as close to the exact answer as PyTorch in float32
    assert result.max_abs_float64.onnxruntime <= 1e-6 + 2 * result.max_abs_float64.torch_float32


def test_a_runtime_too_old_for_the_file_is_named(environments: dict[str, Path], trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ONNX Runtime in .*1\.10\.0.*opset"):
        trained.verify(environments=[environments["1.10.0"]])


def test_a_runtime_that_cannot_be_installed_is_reported_as_not_run(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(targets.RUNTIMES, "0.0.1", targets.Runtime("0.0.1", 8, 15, ">=3.8", "<2"))
    install("0.0.1", folder=tmp_path / "0.0.1", result=tmp_path / "run/0.0.1.json")
    assert not (tmp_path / "0.0.1").exists()
    result = trained.verify(environments=[tmp_path / "run/0.0.1.json"])
    assert result.passed
    (line,) = result.not_run
    assert line.runtime == "onnxruntime 0.0.1" and "onnxruntime==0.0.1" in line.reason


def test_runs_share_an_environment_and_install_it_again_where_an_installation_was_cut_short(tmp_path: Path) -> None:
    folder = tmp_path / "1.20.1"
    install("1.20.1", folder=folder, result=tmp_path / "first/1.20.1.json")
    python = Path(json.loads((tmp_path / "first/1.20.1.json").read_text())["python"])
    first_inode = python.lstat().st_ino
    install("1.20.1", folder=folder, result=tmp_path / "second/1.20.1.json")
    assert python.lstat().st_ino == first_inode
    assert (tmp_path / "second/1.20.1.json").read_text() == (tmp_path / "first/1.20.1.json").read_text()
    # as a killed job leaves it
    (folder / "installed.json").unlink()
    next(folder.rglob("onnxruntime/__init__.py")).unlink()
    install("1.20.1", folder=folder, result=tmp_path / "third/1.20.1.json")
    command = [str(python), "-c", "import onnxruntime; print(onnxruntime.__version__)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1.20.1\n"


def test_a_deleted_environment_is_named_with_what_to_delete_too(trained: Trained, tmp_path: Path) -> None:
    result = tmp_path / "run/1.20.1.json"
    write_json(result, {"version": "1.20.1", "python": str(tmp_path / "1.20.1/environment/bin/python")})
    (line,) = trained.verify(environments=[result]).not_run
    assert line.reason.endswith(f"bin/python; if it was deleted, delete {result} too, and run again")


class Normalised(nn.Module):
    """A network whose LayerNormalization needs opset 17."""

    def __init__(self, sets: dict[str, Any], n_classes: int) -> None:
        super().__init__()
        n = sets["jet"].n_features
        self.stack = nn.Sequential(nn.LayerNorm(n), nn.Linear(n, n_classes))

    def forward(self, features: dict[str, Tensor], masks: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.stack(features["jet"])
        return logits


def test_a_network_that_an_old_target_cannot_run_is_refused_with_the_operator(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    trained = Trained(*ingest(raw_config(toy_files, model={"name": f"{__name__}:Normalised"})), tmp_path / "trained")
    exported = tmp_path / "old.onnx"
    with pytest.raises(InputError, match=r"CMSSW_13_0_X loads opset 15 at most.*LayerNormalization \(opset 17\)"):
        export(trained.model, targets=["CMSSW_13_0_X", "CMSSW_15_0_X"], path=exported)
    assert not exported.exists()
