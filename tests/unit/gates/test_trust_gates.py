"""What is wrong with a model is flagged by its own gate and by no other: mutations of the answers of a good one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Observer
from cyclotrain.evaluation.evaluate import evaluate
from cyclotrain.gates.judge import judge
from support.predictions import predictions
from support.scored import contract_of
from support.trained import Trained

N = 40_000
BOUNDS = {
    "auc.*": [">= 0.8"],
    "ks_p_value.*": [">= 0.01"],
    "chi2_p_value.*": [">= 0.01"],
    "calibration_error.*": ["<= 0.02"],
    "sculpting.jet_mass.*.at_mistag_0.1": ["<= 0.02"],
    "distance_correlation.*.*": ["<= 0.1"],
}
OVERTRAINING = {"ks_p_value.qcd", "ks_p_value.top", "chi2_p_value.qcd", "chi2_p_value.top"}
SCULPTING = {"sculpting.jet_mass.qcd.at_mistag_0.1", "distance_correlation.jet_mass.qcd"}
CALIBRATION = {"calibration_error.qcd", "calibration_error.top"}

Logits = Callable[[str, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def good(split: str, label: np.ndarray, mass: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Calibrated: the ratio of two Gaussians of width 1 at -1 and 1 is exp(2 x)."""
    return 2 * (2 * label - 1 + noise)


def overtrained(split: str, label: np.ndarray, mass: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """It knows the examples of the training split a little better than those of the test split."""
    return good(split, label, mass, noise) + (0.15 * (2 * label - 1) if split == "train" else 0)


def sculpting(split: str, label: np.ndarray, mass: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Half of what looks like noise is the mass, so that the probabilities stay what they are."""
    return 2 * (2 * label - 1 + 0.6 * (mass - 100) / 20 + 0.8 * noise)


def miscalibrated(split: str, label: np.ndarray, mass: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Too sure, with the same order of the examples."""
    return 1.6 * good(split, label, mass, noise)


@pytest.mark.parametrize(
    ("logits", "flagged"), [(good, set()), (overtrained, OVERTRAINING), (sculpting, SCULPTING), (miscalibrated, CALIBRATION)]
)
def test_a_fault_is_flagged_by_its_own_gate_and_by_no_other(
    logits: Logits, flagged: set[str], trained: Trained, tmp_path: Path
) -> None:
    contract = contract_of(("qcd", "top"), (Observer("jet_mass", "jet_mass", "Jet mass [GeV]"),))
    splits = {}
    for seed, split in enumerate(("train", "test")):
        random = np.random.default_rng(seed)
        label, weight = np.arange(N) % 2, random.uniform(0.5, 1.5, N)
        mass = random.normal(100, 20, N)
        signal = 1 / (1 + np.exp(-logits(split, label, mass, random.normal(size=N))))
        splits[split] = predictions(
            contract,
            tmp_path / split,
            label=label,
            probabilities=np.stack([1 - signal, signal], axis=1),
            weight=weight,
            observers={"jet_mass": mass},
        )
    (tmp_path / "model.onnx").touch()
    evaluation, _ = evaluate(contract, splits, model=tmp_path / "model.onnx", settings=EvaluationConfig())
    gates = judge(trained.run().verification, evaluation.figures(), bounds=BOUNDS, rejection_losses={})
    assert {gate.name for gate in gates.failed} == flagged
    assert len(gates.gates) == 1 + 1 + 4 + 2 + 1 + 1
