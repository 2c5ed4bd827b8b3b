"""Models compiled by AOTInductor in the parity gate: the right package passes every case, and a wrong one does not."""

import shutil
from pathlib import Path

import pytest
import torch
from torch._inductor import aoti_compile_and_package

from cyclotrain.config import load
from cyclotrain.config.gates import names
from cyclotrain.contract.results import AOT_INDUCTOR, MODEL, Verification, all_figures
from cyclotrain.export.to_aot_inductor import model_to_program
from cyclotrain.gates.judge import judge
from cyclotrain.networks.registry import Outputs
from cyclotrain.parity import artefacts
from cyclotrain.parity.artefacts import Artefact
from cyclotrain.runtimes.in_process import Package
from cyclotrain.runtimes.packages import package_metadata
from cyclotrain.runtimes.sessions import CPU, Configuration
from support.toys import raw_config
from support.trained import Trained

pytestmark = pytest.mark.runtimes
V2, V3 = AOT_INDUCTOR


def verified(trained: Trained, **packages: Path) -> Verification:
    return trained.verify(others=[Artefact(name, str(path), 1e-5) for name, path in packages.items()])


@pytest.fixture(scope="module")
def result(trained: Trained) -> Verification:
    return verified(trained, **{name: trained.compiled(name) for name in AOT_INDUCTOR})


def test_packages_pass_every_case_of_the_model_on_one_thread_and_in_two_at_once(result: Verification) -> None:
    assert result.passed, result.failures
    (model,) = (row for row in result.sessions(MODEL) if (row.optimisation, row.threads) == ("enable_all", 1))
    for name in AOT_INDUCTOR:
        sessions = {row.threads: row for row in result.sessions(name)}
        assert set(sessions) == {1, 2} and sessions[1].cases == model.cases
        assert {row.runtime for row in sessions.values()} == {f"libtorch {torch.__version__.partition('+')[0]}"}


def test_they_have_figures_and_gates_which_a_config_knows(
    result: Verification, trained: Trained, toy_files: dict[str, str]
) -> None:
    evaluation, _ = trained.evaluate()
    figures = all_figures(result, evaluation, trained.time())
    gates = {gate.name: gate for gate in judge(result, figures, bounds={}, rejection_losses={}).gates}
    known = set(names(load(raw_config(toy_files, export={"consumers": ["aot_inductor"]}))))
    for name in AOT_INDUCTOR:
        figure = f"parity.{name}"
        assert figures[figure].value == max(row.max_abs for row in result.sessions(name))
        assert gates[figure].passed and figure in known
        assert figure not in names(load(raw_config(toy_files)))


def test_a_package_with_a_fixed_length_inside_is_caught(trained: Trained, tmp_path: Path) -> None:
    """PyTorch's issue 150364: without the setting also in the compilation, other lengths give wrong answers without an error."""
    program = model_to_program(Outputs(trained.model.load()).eval(), trained.contract)
    settings = {"aot_inductor.metadata": package_metadata(trained.compiled(V3))}
    aoti_compile_and_package(program, package_path=str(tmp_path / "wrong.pt2"), inductor_configs=settings)
    wrong = verified(trained, **{V3: tmp_path / "wrong.pt2"})
    assert all(row.cases_failed > 5 for row in wrong.sessions(V3))
    assert any(failure.message.startswith(f"length 1 ({V3}; libtorch ") for failure in wrong.failures)


def test_a_package_for_another_processor_is_not_run_and_this_is_told(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "missing", lambda level: ["avx2", "fma"] if level == "x86-64-v3" else [])
    result = verified(trained, **{name: trained.compiled(name) for name in AOT_INDUCTOR})
    (unrun,) = result.not_run
    assert (unrun.runtime, unrun.reason) == (V3, "the processor of this machine lacks avx2, fma")
    assert result.artefacts == (MODEL, V2) and result.passed


def test_a_file_that_is_no_package_fails_the_gate(trained: Trained, tmp_path: Path) -> None:
    shutil.copyfile(trained.compiled(V3), tmp_path / "cut.pt2")
    with (tmp_path / "cut.pt2").open("r+b") as file:
        file.truncate(100_000)
    (failure,) = verified(trained, **{V3: tmp_path / "cut.pt2"}).failures
    assert not failure.loads and "cannot be read as a package of AOTInductor" in failure.message


def test_the_answers_of_several_threads_differ_if_one_does(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = Configuration(CPU, "enable_all", 2)
    branches = {branch: torch.ones(1, 2 if name else 1) for branch, name in trained.contract.layout.inputs.items()}
    with Package(trained.compiled(V3), [configuration], prefix="cyclotrain.") as package:
        package.ask(branches, [configuration])
        right = package.answers()[configuration]
        answers = iter([right, right + 1])
        monkeypatch.setattr(package, "run", lambda values, configuration: [torch.from_numpy(next(answers))])
        assert (package.answers()[configuration] == right + 1).all()
