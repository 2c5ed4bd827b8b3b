"""The chi-square test of weighted histograms, against scipy and against repeated samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cyclotrain.metrics.chi_square import chi_square, merged_bins

EDGES = np.linspace(-3, 3, 21)


def histogram(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.histogram(values, EDGES, weights=weight)[0], np.histogram(values, EDGES, weights=weight**2)[0]


def test_with_as_many_unit_weights_it_is_scipys_test_of_a_table() -> None:
    random = np.random.default_rng(0)
    first, second = random.multinomial(2000, np.full(8, 1 / 8)), random.multinomial(2000, np.full(8, 1 / 8))
    measured = chi_square(first, second, first_variance=first, second_variance=second)
    expected = stats.chi2_contingency(np.stack([first, second]), correction=False)
    assert measured.value == pytest.approx(expected.statistic, abs=1e-9)
    assert measured.degrees == expected.dof == 7
    assert measured.p_value == pytest.approx(expected.pvalue, abs=1e-9)


@given(seed=st.integers(0, 10_000), share=st.floats(0, 0.3))
def test_it_is_gagunashvilis_formula_with_weights_of_any_sign(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for n in (3000, 2000):
        weight = random.exponential(1, n) * np.where(random.random(n) < share, -1, 1)
        parts += histogram(random.normal(0, 1, n), weight)
    first, first_variance, second, second_variance = parts
    measured = chi_square(first, second, first_variance=first_variance, second_variance=second_variance)
    starts = merged_bins(first, second, first_variance=first_variance, second_variance=second_variance).tolist()
    expected = 0.0
    for low, high in zip(starts, [*starts[1:], 20], strict=True):
        w1, w2, v1, v2 = (float(part[low:high].sum()) for part in (first, second, first_variance, second_variance))
        assert len(starts) == 1 or (w1**2 / v1 >= 10 and w2**2 / v2 >= 10) or high == 20
        sums = first.sum(), second.sum()
        expected += (sums[0] * w2 - sums[1] * w1) ** 2 / (sums[0] ** 2 * v2 + sums[1] ** 2 * v1)
    assert measured.value == pytest.approx(expected, rel=1e-9)
    assert (measured.pulls**2).sum() == pytest.approx(expected, rel=1e-9)
    assert measured.p_value == pytest.approx(stats.chi2.sf(expected, len(starts) - 1), abs=1e-9)


def test_p_values_of_the_same_distribution_are_uniform_and_those_of_another_small() -> None:
    """Also with one weight in ten negative."""
    p_values = {0.0: [], 0.2: []}
    for shift, found in p_values.items():
        for seed in range(300):
            random = np.random.default_rng(seed)
            (w1, v1), (w2, v2) = (
                histogram(random.normal(mean, 1, n), random.uniform(0.5, 1.5, n) * np.where(random.random(n) < 0.1, -1, 1))
                for mean, n in ((0, 6000), (shift, 3000))
            )
            found.append(chi_square(w1, w2, first_variance=v1, second_variance=v2).p_value)
    assert stats.kstest(p_values[0.0], "uniform").pvalue > 0.01
    assert np.median(p_values[0.2]) < 1e-3


def test_a_pull_is_positive_where_the_second_histogram_has_more() -> None:
    first, second = np.array([100.0, 100, 100]), np.array([100.0, 70, 130])
    pulls = chi_square(first, second, first_variance=first, second_variance=second).pulls
    assert np.sign(pulls).tolist() == [0, -1, 1]
    assert pulls[2] == pytest.approx(30 / np.sqrt(230))


def test_bins_with_few_entries_are_merged_and_the_last_joins_the_one_before() -> None:
    counts = np.array([4.0, 4, 4, 20, 11, 3])
    measured = chi_square(counts, 10 * counts, first_variance=counts, second_variance=10 * counts)
    assert measured.first_bins.tolist() == [0, 3, 4] and measured.degrees == 2
    assert measured.value == pytest.approx(0) and measured.p_value == pytest.approx(1)


@pytest.mark.parametrize("empty", [np.zeros(3), np.array([1.0, -2, 0])])
def test_without_weight_or_with_one_bin_there_is_no_p_value(empty: np.ndarray) -> None:
    counts = np.array([50.0, 50, 50])
    assert chi_square(empty, counts, first_variance=np.abs(empty), second_variance=counts).p_value is None
    assert chi_square(np.ones(3), counts, first_variance=np.ones(3), second_variance=counts).p_value is None
