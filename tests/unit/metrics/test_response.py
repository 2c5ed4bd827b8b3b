"""Bias, resolution and coverage of known distributions."""

import numpy as np
import pytest

from cyclotrain.metrics.response import coverage, equal_bins, in_bin, response


def test_median_and_width_of_a_gaussian_with_their_errors() -> None:
    values = np.random.default_rng(0).normal(3, 2, 10_000)
    measured = response(values, weight=np.ones(10_000), seed=1)
    assert measured.median.value == pytest.approx(3, abs=3 * 0.025)
    assert measured.median.uncertainty == pytest.approx(2 * 1.2533 / 100, rel=0.2)
    assert measured.half_width.value == pytest.approx(2, rel=0.03)


def test_a_weight_counts_as_that_many_examples() -> None:
    random = np.random.default_rng(1)
    values, weight = random.normal(size=2000), random.integers(1, 4, 2000)
    once, repeated = response(values, weight=weight, seed=1), np.repeat(values, weight)
    assert once.median.value == pytest.approx(np.median(repeated), abs=0.01)
    low, high = np.quantile(repeated, [0.158655, 0.841345])
    assert once.half_width.value == pytest.approx((high - low) / 2, abs=0.01)


@pytest.mark.parametrize("weight", [np.empty(0), np.array([-1.0, 0.5])])
def test_nothing_to_measure_gives_no_value(weight: np.ndarray) -> None:
    measured = response(np.zeros(len(weight)), weight=weight, seed=1)
    assert measured.median.value is None and measured.half_width.value is None
    assert coverage(np.zeros(len(weight)), np.ones(len(weight)), weight=weight).value is None


def test_coverage_is_the_share_of_targets_below() -> None:
    target = np.arange(100.0)
    share = coverage(target, np.full(100, 24.0), weight=np.where(target < 50, 2.0, 1.0))
    assert share.value == pytest.approx(50 / 150)
    assert share.uncertainty == pytest.approx(np.sqrt(1 / 3 * 2 / 3 * 250) / 150)


def test_bins_hold_the_same_number_of_finite_values() -> None:
    values = np.concatenate([np.random.default_rng(0).exponential(size=1000), [np.nan, np.inf]])
    bins = equal_bins(values, 10)
    counts = [int(in_bin(values, bins, index).sum()) for index in range(10)]
    assert counts == [100] * 10
    assert equal_bins(np.full(5, np.nan), 10) == [] and equal_bins(np.ones(5), 10) == []


def test_a_negative_weight_takes_away_the_same_from_both_sides() -> None:
    measured = response(np.arange(5.0), weight=np.array([1.0, 1, -1, 1, 1]), seed=1)
    assert measured.median.value == 1  # the first at which half of the sum, 1.5, is reached
    many = np.random.default_rng(2).normal(size=20_000)
    signed = response(many, weight=np.where(np.arange(20_000) % 5 == 0, -1.0, 1.0), seed=1)
    assert signed.median.value == pytest.approx(0, abs=0.05) and signed.half_width.value == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_estimate_that_is_not_finite_gives_no_figure(value: float) -> None:
    assert response(np.array([1.0, value, 2.0]), weight=np.ones(3), seed=1).median.value is None
