import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cyclotrain.metrics.roc import Roc, roc_auc_and_rejections


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(10, 200), st.booleans())
def test_the_area_is_that_of_scikit_learn_with_weights_and_ties(seed: int, n: int, ties: bool) -> None:
    random = np.random.default_rng(seed)
    score = random.integers(0, 5, n).astype(float) if ties else random.random(n)
    is_signal = np.arange(n) % 2 == 0
    weight = random.uniform(0.1, 3, n)
    expected = roc_auc_score(is_signal, score, sample_weight=weight)
    assert Roc.from_scores(score, is_signal, weight=weight).auc == pytest.approx(expected, abs=1e-12)


def test_the_rejection_is_taken_at_the_cut_with_this_signal_efficiency() -> None:
    score = np.arange(100) / 100
    is_signal = np.tile([True, False], 50)
    _, _, (half,) = roc_auc_and_rejections(score, is_signal, weight=np.ones(100), signal_efficiencies=[0.5], seed=1)
    kept = score >= np.sort(score[is_signal])[25]
    assert half.value == pytest.approx(1 / (kept & ~is_signal).sum() * 50)


def test_a_rejection_is_none_if_no_background_passes_the_cut() -> None:
    score = np.concatenate([np.linspace(0.5, 1, 50), np.linspace(0, 0.4, 50)])
    _, area, (point,) = roc_auc_and_rejections(score, score >= 0.5, weight=np.ones(100), signal_efficiencies=[0.3], seed=1)
    assert area.value == 1
    assert point.value is None and point.uncertainty is None


def test_uncertainty_of_the_rejection_covers_its_spread_over_independent_samples() -> None:
    spread, uncertainties = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        is_signal = np.arange(4000) % 2 == 0
        score = random.normal(np.where(is_signal, 1.0, 0.0))
        _, _, (point,) = roc_auc_and_rejections(score, is_signal, weight=np.ones(4000), signal_efficiencies=[0.5], seed=seed)
        assert point.value is not None and point.uncertainty is not None
        spread.append(point.value)
        uncertainties.append(point.uncertainty)
    assert np.mean(uncertainties) == pytest.approx(np.std(spread), rel=0.35)


def test_a_few_examples_have_uncertainties_too() -> None:
    score, is_signal = np.array([0.9, 0.4, 0.3]), np.array([True, False, True])
    _, area, rejections = roc_auc_and_rejections(score, is_signal, weight=np.ones(3), signal_efficiencies=[0.5], seed=1)
    assert area.value == 0.5 and area.uncertainty is not None and np.isfinite(area.uncertainty)
    assert rejections[0].value is None


def test_negative_weights_count_as_they_are_and_every_uncertainty_is_finite() -> None:
    """Of few events with weights of ±1, a bootstrap replica can have a sum of weights of 0 or less."""
    score, is_signal = np.linspace(1, 0, 10), np.arange(10) < 5
    weight = np.array([1.0, 1, 1, -1, -1, 1, 1, -1, -1, 1])
    curve, area, (point,) = roc_auc_and_rejections(score, is_signal, weight=weight, signal_efficiencies=[0.5], seed=1)
    assert curve.signal.max() == 3 and curve.background.max() == 2 and curve.signal[-1] == curve.background[-1] == 1
    assert area.value == roc_auc_score(is_signal, score)  # the signal is above the whole background
    assert area.uncertainty is not None and np.isfinite(area.uncertainty)
    assert point.value is None
    mixed = roc_auc_and_rejections(score, is_signal, weight=weight[::-1], signal_efficiencies=[0.5], seed=1)
    assert mixed[1].uncertainty is not None and np.isfinite(mixed[1].uncertainty)
