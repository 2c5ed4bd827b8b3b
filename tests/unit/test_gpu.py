"""Results on a GPU compared with those on the CPU. If there is a GPU, the other unit tests also train on it."""

from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
import torch

from cyclotrain.contract import Set
from cyclotrain.contract.results import MODEL
from cyclotrain.core.files import read_json_lines
from cyclotrain.networks.devices import gpus
from cyclotrain.networks.features import sort_key
from cyclotrain.parity.artefacts import OPTIMISATIONS, Artefact, _configurations, _providers
from cyclotrain.parity.cases import Case
from cyclotrain.runtimes.sessions import CPU, CUDA
from support.toys import raw_config
from support.trained import Trained, run_training

a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def test_a_slurm_job_uses_only_the_gpus_allocated_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a real job on a node with a GPU: without `ConstrainDevices`, PyTorch finds it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert gpus() == 1
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert gpus() == 0 and _providers() == [CPU]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpus() == 1 and _providers()[1:] == [name for name in ort.get_available_providers() if name == CUDA]


def test_constituents_are_sorted_by_finite_keys_since_gpus_cannot_sort_infinity() -> None:
    pt = torch.tensor([[3.0, torch.nan, 1e31, 0.0, torch.inf, -1e31]])
    pf = Set(("pf_pt",), ("pf_pt",), 6, "pf_pt != 0", 10.0, sort_by="pf_pt")
    key = sort_key(pf, {"pf_pt": pt})
    assert torch.isfinite(key).all()
    assert key.argsort(descending=True)[0, :3].tolist() == [2, 0, 5]  # padding and non-finite values come last


def test_the_gate_has_one_session_with_tf32_and_only_it_has_the_tf32_tolerance() -> None:
    model = Artefact(MODEL, "model.onnx", 1e-5, tf32_tolerance=0.05)
    configurations = _configurations(model, [CPU, CUDA], 2)
    with_tf32 = [c for c in configurations if c.tf32]
    assert [str(c) for c in with_tf32] == ["CUDA with TF32, optimisations: all, 1 thread"]
    assert {c.optimisation for c in configurations if c.provider == CUDA and not c.tf32} == set(OPTIMISATIONS)
    assert {c.provider for c in _configurations(model, [CPU], 2)} == {CPU}
    for hostile in (False, True):
        case = Case("one", iter(()), hostile)
        assert {model.tolerance_of(case, c) for c in with_tf32} == {0.05}
        assert {model.tolerance_of(case, c) for c in configurations if not c.tf32} == {1e-5}


@a_gpu
@pytest.mark.parametrize(
    "option", [{"precision": "bfloat16"}, {"precision": "float16", "gradient_clipping": 1.0}, {"compile": True}]
)
def test_precision_and_compile_leave_the_loss_nearly_as_it_is(
    option: dict[str, Any], ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    losses = []
    for name, changes in {"plain": {}, "option": option}.items():
        config, contract, shards = ingest(raw_config(toy_files, training={"epochs": 2, "accelerator": "gpu", **changes}))
        run_training(contract, config, shards, tmp_path / name)
        losses.append([line["validation_loss"] for line in read_json_lines(tmp_path / name / "history.jsonl")])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0] or "compile" in option  # fewer bits round differently


@a_gpu
def test_a_training_on_a_gpu_has_the_losses_of_one_on_the_cpu(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    histories = []
    config, contract, shards = ingest(raw_config(toy_files))
    for accelerator in ("gpu", "cpu"):
        moved = config.model_copy(update={"training": config.training.model_copy(update={"accelerator": accelerator})})
        run_training(contract, moved, shards, tmp_path / accelerator)
        histories.append(read_json_lines(tmp_path / accelerator / "history.jsonl"))
    for on_gpu, on_cpu in zip(*histories, strict=True):
        for figure in ("train_loss", "validation_loss", "validation_auc"):
            assert on_gpu[figure] == pytest.approx(on_cpu[figure], rel=1e-4)


@a_gpu
def test_more_gpus_than_there_are_is_an_error(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    n_gpus = torch.cuda.device_count()
    config, contract, shards = ingest(raw_config(toy_files, training={"accelerator": "gpu", "devices": n_gpus + 1}))
    with pytest.raises(RuntimeError, match=rf"training.devices is {n_gpus + 1}, but PyTorch finds {n_gpus}"):
        run_training(contract, config, shards, tmp_path / "run")


@a_gpu
def test_the_parity_gate_also_runs_on_the_gpu(trained: Trained) -> None:
    result = trained.verify()
    assert result.passed, result.failures
    assert {line["provider"] for line in result["matrix"]} == {CPU, CUDA}
