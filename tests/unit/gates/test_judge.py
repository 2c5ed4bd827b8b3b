"""Verdicts: a gate per exported file, per background, per variant; and how a run is failed."""

from pathlib import Path

import pytest

from cyclotrain.contract.results import MODEL, Gate, Gates, ParityFailure, Verification
from cyclotrain.gates.judge import judge, require
from support.trained import Trained


def changed(verification: Verification, failed: int, *failures: ParityFailure) -> Verification:
    """The same verification, with some cases failed in the first session."""
    first, *rest = verification.matrix
    matrix = (first.model_copy(update={"cases_failed": failed}), *rest)
    return verification.model_copy(update={"matrix": matrix, "failures": failures})


def test_a_run_within_all_limits_passes_and_every_gate_has_value_and_limit(trained: Trained) -> None:
    run = trained.run()
    gates = judge(run.verification, run.figures(), bounds={"auc.*": [">= 0.6"]}, rejection_losses={})
    area = run.evaluation.performance[MODEL]["background"].auc.value
    assert gates.passed and [gate.name for gate in gates.gates] == ["parity.model", "auc.background"]
    assert [gate.value for gate in gates.gates] == [run.verification.max_abs_all_cases, area]
    assert [gate.limit for gate in gates.gates] == ["<= 1e-05 in every case", ">= 0.6"]


def test_a_case_beyond_the_tolerance_fails_and_is_named(trained: Trained) -> None:
    run = trained.run()
    failures = [ParityFailure(artefact=MODEL, message=f"case {i}: differs by 1") for i in range(7)]
    (gate,) = judge(changed(run.verification, 7, *failures), run.figures(), bounds={}, rejection_losses={}).failed
    assert gate.name == "parity.model"
    assert "case 0: differs by 1" in gate.message and "case 4" in gate.message and "case 5" not in gate.message
    assert "and 2 more in verification.json" in gate.message


def test_a_file_that_no_runtime_loads_fails_its_gate_without_a_value(trained: Trained) -> None:
    run = trained.run()
    failure = ParityFailure(artefact="fp16", message="fp16: cannot be loaded", loads=False)
    gates = judge(changed(run.verification, 0, failure), run.figures(), bounds={}, rejection_losses={})
    assert [(gate.name, gate.passed) for gate in gates.gates] == [("parity.model", True), ("parity.fp16", False)]
    assert "cannot be loaded" in gates.failed[0].message
    assert gates.failed[0].value is None and str(gates.failed[0]).startswith("parity.fp16 = no value, required <= 1e-05")


def test_rounding_to_tf32_on_a_gpu_has_a_gate_of_its_own(trained: Trained) -> None:
    run = trained.run()
    cpu = run.verification.matrix[0]
    gpu = cpu.model_copy(update={"tf32": True, "tolerance": 0.05, "hostile_tolerance": 0.05, "cases_failed": 1})
    failure = ParityFailure(artefact=MODEL, message="nan in pf_pt: differs by 0.1", tf32=True)
    verification = run.verification.model_copy(update={"matrix": (*run.verification.matrix, gpu), "failures": (failure,)})
    gates = judge(verification, run.figures(), bounds={}, rejection_losses={})
    assert [(gate.name, gate.passed) for gate in gates.gates] == [("parity.model", True), ("parity.model.TF32", False)]


def test_with_a_tolerance_for_hostile_inputs_the_value_is_that_of_the_test_split(trained: Trained) -> None:
    run = trained.run()
    update = {"artefact": "int8_static", "tolerance": 0.05, "hostile_tolerance": 1.0, "max_abs": 0.01, "max_abs_all_cases": 0.83}
    variant = run.verification.matrix[0].model_copy(update=update)
    verification = run.verification.model_copy(update={"matrix": (*run.verification.matrix, variant)})
    gate = judge(verification, run.figures(), bounds={}, rejection_losses={}).gates[-1]
    assert gate.passed and gate.value == 0.01
    assert gate.limit == "<= 0.05 on test examples, 1 on hostile ones"


def test_an_answer_that_is_not_a_probability_has_no_value_and_fails(trained: Trained) -> None:
    run = trained.run()
    failure = ParityFailure(artefact=MODEL, message="nan in pf_pt: an answer is not a probability")
    verification = changed(run.verification, 1, failure)
    first, *rest = verification.matrix
    verification = verification.model_copy(update={"matrix": (first.model_copy(update={"finite": False}), *rest)})
    (gate,) = judge(verification, run.figures(), bounds={}, rejection_losses={}).failed
    assert gate.value is None and "not a probability" in gate.message


def test_a_gate_exactly_at_its_limit_passes(trained: Trained) -> None:
    run = trained.run()
    area = run.evaluation.performance[MODEL]["background"].auc.value
    assert judge(run.verification, run.figures(), bounds={"auc.*": [f">= {area!r}"]}, rejection_losses={}).passed


def test_requiring_gates_names_fold_value_and_limit_of_each_that_failed(tmp_path: Path) -> None:
    good = Gate(name="auc.qcd", value=0.98, limit=">= 0.97", passed=True)
    bad = Gate(name="auc.qcd", value=0.96, limit=">= 0.97", passed=False, message="the limit is gates.auc.qcd")
    assert "run/fold-0: auc.qcd = 0.98, required >= 0.97" in require({"run/fold-0": Gates(gates=(good,))}, bundles=[])
    folds = {"run/fold-0": Gates(gates=(good,)), "run/fold-1": Gates(gates=(bad,))}
    with pytest.raises(RuntimeError) as error:
        require(folds, bundles=[tmp_path / "none", tmp_path])
    text = str(error.value)
    assert "1 of 2 gates failed, so no bundle is made" in text
    assert "run/fold-1: auc.qcd = 0.96, required >= 0.97; the limit is gates.auc.qcd" in text
    assert "fold-0" not in text
    assert f"The bundle of an earlier run that passed is still in {tmp_path}." in text
