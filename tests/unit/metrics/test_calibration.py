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


@given(seed=st.integers(0, 10_000), n=st.integers(1, 300), signed=st.booleans())
def test_the_error_is_that_of_its_definition_with_weights_of_any_sign(seed: int, n: int, signed: bool) -> None:
    """sum over bins of W_bin / W |mean probability - share of the class|, as Naeini et al. write it."""
    p, y = sample(seed, n)
    random = np.random.default_rng(seed)
    weight = random.exponential(1, n) * np.where(signed & (random.random(n) < 0.2), -1, 1)
    measured = calibration(p, y, weight=weight)
    if weight.sum() <= 0:
        assert measured.error.value is None
        return
    index, error = np.minimum((15 * p).astype(int), 14), 0.0
    for bin_ in set(index.tolist()):
        w, total = weight[index == bin_], weight[index == bin_].sum()
        if abs(total) > 1e-6:
            error += abs(total) / weight.sum() * abs(w @ p[index == bin_] / total - w @ y[index == bin_] / total)
        else:
            error += abs(w @ (p - y)[index == bin_]) / weight.sum()
    assert measured.error.value == pytest.approx(error, abs=1e-9)
