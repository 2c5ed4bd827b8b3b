"""Shares and their uncertainties, the confusion matrix and efficiencies in bins, against scipy, scikit-learn and hist."""

import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from cyclotrain.metrics.binned_efficiency import BinnedSums, bin_of
from cyclotrain.metrics.confusion import ConfusionSums
from cyclotrain.metrics.efficiency import Shares, shares

SEEDS = st.integers(0, 10_000)


def weighted_share(passes: np.ndarray, weight: np.ndarray) -> Shares:
    sums = [np.array([x]) for x in (weight[passes].sum(), (weight[passes] ** 2).sum())]
    total = [np.array([x]) for x in (weight.sum(), (weight**2).sum())]
    return shares(*sums, total=total[0], total_squares=total[1])


@given(n=st.integers(1, 1000), share=st.floats(0, 1))
def test_with_unit_weights_the_uncertainty_is_that_of_wilsons_interval(n: int, share: float) -> None:
    passed = round(share * n)
    interval = binomtest(passed, n).proportion_ci(confidence_level=erf(np.sqrt(0.5)), method="wilson")
    measured = weighted_share(np.arange(n) < passed, np.ones(n))
    assert measured.value[0] == pytest.approx(passed / n, abs=1e-9)
    assert measured.uncertainty[0] == pytest.approx((interval.high - interval.low) / 2, abs=1e-9)


@given(SEEDS)
def test_a_common_factor_on_the_weights_changes_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    passes, weight = random.random(50) < 0.3, random.uniform(0.1, 2, 50)
    once, scaled = weighted_share(passes, weight), weighted_share(passes, 1e4 * weight)
    assert scaled.value == pytest.approx(once.value) and scaled.uncertainty == pytest.approx(once.uncertainty)


@pytest.mark.parametrize("weight", [np.zeros(3), np.array([1.0, -1.0, 0.0]), np.empty(0)])
def test_a_share_of_no_weight_is_not_measured(weight: np.ndarray) -> None:
    measured = weighted_share(np.ones(len(weight), bool), weight)
    assert np.isnan(measured.value[0]) and measured.estimate(0).value is None


def test_shares_cover_the_truth_in_two_thirds_of_repeated_samples() -> None:
    random = np.random.default_rng(0)
    inside = []
    for share in (0.05, 0.3, 0.9):
        for _ in range(1000):
            weight = random.choice([0.5, 2.0, -0.1], 400)
            measured = weighted_share(random.random(400) < share, weight)
            inside.append(abs(measured.value[0] - share) < measured.uncertainty[0])
    assert np.mean(inside) == pytest.approx(0.683, abs=0.03)


@settings(deadline=None)
@given(seed=SEEDS, n=st.integers(30, 300), negative=st.booleans())
def test_confusion_matrix_and_accuracy_are_those_of_scikit_learn(seed: int, n: int, negative: bool) -> None:
    random = np.random.default_rng(seed)
    label, probabilities = np.arange(n) % 3, random.dirichlet(np.ones(3), n)
    weight = random.uniform(0.1, 2, n) * np.where((random.random(n) < 0.2) & negative, -0.2, 1)
    predicted = probabilities.argmax(axis=1)
    halves = [ConfusionSums.of(probabilities[rows], label[rows], weight=weight[rows]) for rows in np.array_split(np.arange(n), 2)]
    sums = halves[0] + halves[1]
    expected = confusion_matrix(label, predicted, sample_weight=weight, normalize="true")
    assert sums.fractions().value == pytest.approx(expected, abs=1e-9)
    assert sums.accuracy().value == pytest.approx(accuracy_score(label, predicted, sample_weight=weight), abs=1e-9)
    alone = weighted_share(predicted[label == 1] == 2, weight[label == 1]).uncertainty[0]
    assert sums.fractions().uncertainty[1, 2] == pytest.approx(alone, abs=1e-9)
    assert sums.accuracy().uncertainty == pytest.approx(weighted_share(predicted == label, weight).uncertainty[0], abs=1e-9)
    if not negative:
        balanced = balanced_accuracy_score(label, predicted, sample_weight=weight)
        assert sums.balanced_accuracy().value == pytest.approx(balanced, abs=1e-9)


def test_a_class_without_examples_has_no_row_and_no_balanced_accuracy() -> None:
    sums = ConfusionSums.of(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0]), weight=np.ones(2))
    assert np.isnan(sums.fractions().value[1]).all() and sums.fractions().value[0].tolist() == [0.5, 0.5]
    assert sums.balanced_accuracy().value is None and sums.accuracy().value == 0.5


@settings(deadline=None)
@given(seed=SEEDS)
def test_efficiencies_in_bins_are_ratios_of_histograms(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, score, weight = random.normal(size=500), random.random(500), random.uniform(-0.2, 2, 500)
    edges, thresholds = [-1.0, -0.3, 0.4, 1.5], [0.2, 0.7]
    halves = [
        BinnedSums.of(values[rows], score[rows], weight=weight[rows], edges=edges, thresholds=thresholds)
        for rows in np.array_split(np.arange(500), 2)
    ]
    measured = (halves[0] + halves[1]).efficiencies()
    everything = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight()).fill(values, weight=weight)
    for index, threshold in enumerate(thresholds):
        passes = score >= threshold
        passed = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight()).fill(values[passes], weight=weight[passes])
        expected = passed.values() / everything.values()
        assert measured.value[:, index] == pytest.approx(expected, abs=1e-9)
        variance = passed.variances() * (1 - 2 * expected) + everything.variances() * expected**2
        assert measured.uncertainty[:, index] == pytest.approx(np.sqrt(variance) / everything.values(), rel=0.1)


def test_a_value_outside_of_the_bins_or_without_a_number_is_in_none() -> None:
    values = np.array([0.0, 1.0, 2.0, -1.0, 3.0, np.nan, np.inf])
    assert bin_of(values, [0.0, 1.0, 2.0]).tolist() == [0, 1, 1, 2, 2, 3, 3]
    sums = BinnedSums.of(values, np.ones(7), weight=np.ones(7), edges=[0.0, 1.0, 2.0], thresholds=[0.5])
    assert sums.weight.tolist() == [[0, 1], [0, 2]]


def test_a_bin_without_examples_or_without_weight_is_not_measured() -> None:
    values, weight = np.array([0.5, 1.5, 1.5, 3.5]), np.array([1.0, 0, 0, 1.0])
    sums = BinnedSums.of(values, np.array([0.9, 0.9, 0.1, 0.1]), weight=weight, edges=[0.0, 1, 2, 3, 4], thresholds=[0.5])
    assert sums.efficiencies().value[:, 0].tolist() == pytest.approx([1, np.nan, np.nan, 0], nan_ok=True)
    assert sums.efficiencies().uncertainty[0, 0] > 0.2  # of a single example that passes
