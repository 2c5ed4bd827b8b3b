"""Calibration of known probabilities, against scikit-learn and by its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from cyclotrain.metrics.calibration import calibration


def sample(seed: int, n: int = 20_000, bias: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    p = random.beta(0.5, 0.5, n)
    return p, random.random(n) < np.clip(p + bias, 0, 1)


def test_bins_are_those_of_scikit_learn() -> None:
    p, y = sample(0)
    measured = calibration(p, y, weight=np.ones(len(p)))
    fraction, mean = calibration_curve(y, p, n_bins=15)
    assert [one.fraction.value for one in measured.bins] == pytest.approx(fraction, abs=1e-9)
    assert [one.probability for one in measured.bins] == pytest.approx(mean, abs=1e-9)


@given(seed=st.integers(0, 1000), n=st.integers(1, 300))
def test_a_whole_weight_counts_as_that_many_examples(seed: int, n: int) -> None:
    p, y = sample(seed, n)
    weight = np.random.default_rng(seed).integers(1, 5, n)
    once, repeated = (
        calibration(p, y, weight=weight),
        calibration(p.repeat(weight), y.repeat(weight), weight=np.ones(weight.sum())),
    )
    assert once.error.value == pytest.approx(repeated.error.value, abs=1e-9)
    assert [one.fraction.value for one in once.bins] == pytest.approx([one.fraction.value for one in repeated.bins], abs=1e-9)


def test_a_calibrated_model_has_the_error_of_fluctuations_alone_and_a_biased_one_more() -> None:
    errors = [calibration(*sample(seed), weight=np.ones(20_000)) for seed in range(50)]
    assert np.mean([one.error.value for one in errors]) == pytest.approx(errors[0].if_calibrated, rel=0.1)
    biased = calibration(*sample(1, bias=0.05), weight=np.ones(20_000))
    assert biased.error.value > biased.if_calibrated + 5 * biased.error.uncertainty


def test_uncertainties_are_the_spread_of_repeated_samples() -> None:
    measured = [calibration(*sample(seed, bias=0.1), weight=np.ones(20_000)) for seed in range(100)]
    assert np.std([one.error.value for one in measured]) == pytest.approx(measured[0].error.uncertainty, rel=0.3)
    fractions = [one.bins[7].fraction.value for one in measured]
    assert np.std(fractions) == pytest.approx(measured[0].bins[7].fraction.uncertainty, rel=0.3)


def test_negative_weights_take_away_and_no_weight_gives_no_figure() -> None:
    p, y = np.array([0.9, 0.9, 0.9, 0.1]), np.array([True, True, False, False])
    signed = calibration(p, y, weight=np.array([1.0, 1.0, -1.0, 1.0]))
    assert signed.bins[-1].fraction.value == pytest.approx(2.0)
    assert signed.error.value == pytest.approx((abs(0.9 - 2) + 0.1) / 2)
    assert calibration(p, y, weight=np.zeros(4)).error.value is None
