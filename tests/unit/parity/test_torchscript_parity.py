"""TorchScript in the parity gate: the right file passes every case, and a wrong one does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cyclotrain.config import load
from cyclotrain.config.gates import names
from cyclotrain.contract.results import MODEL, TORCHSCRIPT, Verification, all_figures
from cyclotrain.export.to_torch import archive, export_torchscript, model_to_torchscript
from cyclotrain.gates.judge import judge
from cyclotrain.networks.registry import Outputs
from cyclotrain.parity.artefacts import Artefact
from cyclotrain.runtimes.in_process import TorchScript
from cyclotrain.runtimes.sessions import CPU, Configuration
from support.toys import raw_config
from support.trained import Trained


def verified(trained: Trained, path: Path) -> Verification:
    return trained.verify(others=[Artefact(TORCHSCRIPT, str(path), 1e-5)])


def test_torchscript_passes_every_case_of_the_model_as_loaded_and_frozen_on_one_thread_and_on_two(
    trained: Trained, tmp_path: Path
) -> None:
    export_torchscript(trained.model, tmp_path / "model.pt")
    threads = torch.get_num_threads()
    result = verified(trained, tmp_path / "model.pt")
    assert result.passed, result.failures
    sessions = {(row.optimisation, row.threads): row for row in result.sessions(TORCHSCRIPT)}
    assert set(sessions) == {(optimisation, n) for optimisation in ("disable_all", "enable_all") for n in (1, 2)}
    (model,) = (row for row in result.sessions(MODEL) if (row.optimisation, row.threads) == ("enable_all", 1))
    assert sessions["enable_all", 1].cases == model.cases
    assert {row.runtime for row in sessions.values()} == {f"libtorch {torch.__version__.partition('+')[0]}"}
    # the runtimes are those of the model
    assert all(runtime.startswith("onnxruntime ") for runtime in result.runtimes)
    assert torch.get_num_threads() == max(threads, 2)


def test_a_model_with_several_outputs_is_compared_in_all_of_its_columns(trained_to_regress: Trained, tmp_path: Path) -> None:
    export_torchscript(trained_to_regress.model, tmp_path / "model.pt")
    result = verified(trained_to_regress, tmp_path / "model.pt")
    assert result.passed, result.failures


def test_with_all_optimisations_a_module_is_frozen_so_that_its_weights_are_constants(trained: Trained, tmp_path: Path) -> None:
    export_torchscript(trained.model, tmp_path / "model.pt")
    configurations = [Configuration(CPU, optimisation, 1) for optimisation in ("disable_all", "enable_all")]
    with TorchScript(tmp_path / "model.pt", configurations, prefix="cyclotrain.") as modules:
        sizes = [len(list(modules.module(configuration).parameters())) for configuration in configurations]
    assert sizes[0] > 0 == sizes[1]


def test_it_has_a_figure_and_a_gate_which_a_config_knows(trained: Trained, tmp_path: Path, toy_files: dict[str, str]) -> None:
    export_torchscript(trained.model, tmp_path / "model.pt")
    result = verified(trained, tmp_path / "model.pt")
    evaluation, _ = trained.evaluate()
    figures = all_figures(result, evaluation, trained.time())
    assert figures["parity.torchscript"].value == max(row.max_abs for row in result.sessions(TORCHSCRIPT))
    gates = {gate.name: gate for gate in judge(result, figures, bounds={}, rejection_losses={}).gates}
    assert gates["parity.torchscript"].passed
    assert "parity.torchscript" in names(load(raw_config(toy_files, export={"consumers": ["torchscript"]})))
    assert "parity.torchscript" not in names(load(raw_config(toy_files)))


class Wrapped(nn.Module):
    """The model behind a change of its branches or of its answer."""

    def __init__(self, outputs: Outputs, change: Callable[..., Any]) -> None:
        super().__init__()
        self.outputs, self._change = outputs, change

    def forward(self, branches: dict[str, torch.Tensor]) -> Any:
        return self._change(self.outputs, branches)


def of_another_length(outputs: Outputs, branches: dict[str, torch.Tensor]) -> Any:
    return outputs({name: value[:, :5] for name, value in branches.items()})


def with_nan_as_zero(outputs: Outputs, branches: dict[str, torch.Tensor]) -> Any:
    return outputs({name: torch.nan_to_num(value, nan=0.0) for name, value in branches.items()})


def with_branches_swapped(outputs: Outputs, branches: dict[str, torch.Tensor]) -> Any:
    return outputs({**branches, "pf_eta": branches["pf_phi"], "pf_phi": branches["pf_eta"]})


@pytest.mark.parametrize(
    ("change", "case"),
    [(of_another_length, "length 6"), (with_nan_as_zero, "nan in pf_eta"), (with_branches_swapped, "test split, batch 1024")],
)
def test_a_wrong_trace_is_caught_and_told(change: Callable[..., Any], case: str, trained: Trained, tmp_path: Path) -> None:
    wrong = Wrapped(Outputs(trained.model.load()).eval(), change)
    metadata = {"contract": trained.contract.to_dict()}
    (tmp_path / "model.pt").write_bytes(archive(model_to_torchscript(wrong, trained.contract), metadata))  # type: ignore[arg-type]
    result = verified(trained, tmp_path / "model.pt")
    assert all(row.cases_failed for row in result.sessions(TORCHSCRIPT))
    assert not any(row.cases_failed for row in result.sessions(MODEL))
    assert any(failure.message.startswith(f"{case} (torchscript; libtorch ") for failure in result.failures)


def test_a_file_that_libtorch_does_not_load_fails_the_gate(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"no archive")
    result = verified(trained, tmp_path / "model.pt")
    (failure,) = result.failures
    assert not failure.loads and failure.message.startswith("torchscript: ")
