"""What is done on a GPU, against the same on the CPU. The other unit tests train on it too, where there is one."""

from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest
import torch

from conftest import Trained, raw_config, run_training
from cyclotrain.contract import Set
from cyclotrain.contract.metadata import MODEL
from cyclotrain.core.files import read_json_lines
from cyclotrain.networks.devices import gpus
from cyclotrain.networks.features import sort_key
from cyclotrain.parity.cases import Case
from cyclotrain.parity.verify import OPTIMISATIONS, Artefact, _configurations, _providers
from cyclotrain.runtimes.sessions import CPU, CUDA

a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def test_a_job_of_slurms_has_the_gpus_that_it_was_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As seen in a real job on a node with a GPU: without `ConstrainDevices` PyTorch finds it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert gpus() == 1
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert gpus() == 0 and _providers() == [CPU]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpus() == 1 and _providers()[1:] == [name for name in ort.get_available_providers() if name == CUDA]


def test_constituents_are_sorted_by_finite_numbers_as_gpus_sort_no_infinity() -> None:
    pt = torch.tensor([[3.0, torch.nan, 1e31, 0.0, torch.inf, -1e31]])
    pf = Set(("pf_pt",), ("pf_pt",), 6, "pf_pt != 0", 10.0, sort_by="pf_pt")
    key = sort_key(pf, {"pf_pt": pt})
    assert torch.isfinite(key).all()
    assert key.argsort(descending=True)[0, :3].tolist() == [2, 0, 5]  # padding and what is no number come last


def test_the_gate_rounds_to_tf32_in_one_session_which_alone_has_the_tolerance_for_it() -> None:
    model = Artefact(MODEL, "model.onnx", 1e-5, tf32_tolerance=0.05)
    found = _configurations(model, [CPU, CUDA], 2)
    rounded = [configuration for configuration in found if configuration.tf32]
    assert [str(of) for of in rounded] == ["CUDA with TF32, optimisations: all, 1 thread"]
    assert {of.optimisation for of in found if of.provider == CUDA and not of.tf32} == set(OPTIMISATIONS)
    assert {of.provider for of in _configurations(model, [CPU], 2)} == {CPU}
    for hostile in (False, True):
        case = Case("one", iter(()), hostile)
        assert {model.tolerance_of(case, of) for of in rounded} == {0.05}
        assert {model.tolerance_of(case, of) for of in found if not of.tf32} == {1e-5}


@a_gpu
def test_a_training_on_a_gpu_has_the_losses_of_one_on_the_cpu(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    histories = []
    config, contract, shards = ingest(raw_config(toy_files))
    for accelerator in ("gpu", "cpu"):
        there = config.model_copy(update={"training": config.training.model_copy(update={"accelerator": accelerator})})
        run_training(contract, there, shards, tmp_path / accelerator)
        histories.append(read_json_lines(tmp_path / accelerator / "history.jsonl"))
    for on_gpu, on_cpu in zip(*histories, strict=True):
        for figure in ("train_loss", "validation_loss", "validation_auc"):
            assert on_gpu[figure] == pytest.approx(on_cpu[figure], rel=1e-4)


@a_gpu
def test_more_gpus_than_there_are_is_an_error(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    found = torch.cuda.device_count()
    config, contract, shards = ingest(raw_config(toy_files, training={"accelerator": "gpu", "devices": found + 1}))
    with pytest.raises(RuntimeError, match=rf"training.devices is {found + 1}, and PyTorch finds {found}"):
        run_training(contract, config, shards, tmp_path / "run")


@a_gpu
def test_the_parity_gate_tries_the_gpu_too(trained: Trained) -> None:
    result = trained.verify()
    assert result["passed"], result["failed"]
    assert {line["provider"] for line in result["matrix"]} == {CPU, CUDA}
