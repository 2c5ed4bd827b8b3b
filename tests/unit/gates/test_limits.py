"""The gates on figures of evaluation.json, from the keys of the config that are marked as limits."""

import pytest

from cyclotrain.config import EvaluationConfig
from cyclotrain.config.evaluation import SmallestAllowed
from cyclotrain.contract.results import (
    MODEL,
    Confusion,
    Evaluation,
    Figure,
    Float64Distance,
    Overtraining,
    Performance,
    Verification,
)
from cyclotrain.gates.judge import judge

CLASSES = ("qcd", "w", "top")
VERIFICATION = Verification(
    tolerance=1e-5, model_sha256="", reference="", runtimes=(), not_run=(), test_examples=0, max_abs=0, max_abs_all_cases=0,
    max_abs_float64=Float64Distance(onnxruntime=0, torch_float32=0), failures=(), evidence=None, matrix=(), cases=(),
)  # fmt: skip


def evaluation() -> Evaluation:
    """AUC 0.9 against qcd and 0.6 against w; the overtraining test gives a p-value of 0.5."""
    performance = {name: Performance(auc=Figure(value=auc), rejection=()) for name, auc in (("qcd", 0.9), ("w", 0.6))}
    return Evaluation(
        model_sha256="", test_examples=0, signal="top", performance={MODEL: performance, "fp16": performance}, rejection_loss={},
        confusion=Confusion(classes=CLASSES, fraction=()),
        overtraining={name: Overtraining(ks_distance=0.1, p_value=0.5) for name in CLASSES},
    )  # fmt: skip


def test_a_limit_holds_for_the_model_and_every_background() -> None:
    gates = judge(VERIFICATION, evaluation(), limits=EvaluationConfig(minimum_auc=0.7), rejection_losses={})
    assert [(gate.name, gate.passed) for gate in gates.gates] == [("auc.qcd", True), ("auc.w", False)]
    assert str(gates.failed[0]) == "auc.w = 0.6, required >= 0.7; the limit is evaluation.minimum_auc"
    assert not judge(VERIFICATION, evaluation(), limits=EvaluationConfig(), rejection_losses={}).gates


KEYS = [
    name
    for name, field in EvaluationConfig.model_fields.items()
    if any(isinstance(mark, SmallestAllowed) for mark in field.metadata)
]


@pytest.mark.parametrize("key", KEYS)
def test_every_limit_is_of_a_figure_that_is_measured(key: str) -> None:
    gates = judge(VERIFICATION, evaluation(), limits=EvaluationConfig(**{key: 0.95}), rejection_losses={})
    assert gates.failed and {gate.name for gate in gates.gates} <= set(evaluation().figures())
