import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, kstest

from cyclotrain.metrics.shapes import Shape, compare_shapes

BINS = 6


def shape(entries: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]) -> Shape:
    """From the number of entries of each example in each bin [n, bins]."""
    weighted = entries * weight[:, None]
    return Shape(weighted.sum(0), weighted.T @ weighted)


def jets(random: np.random.Generator, n: int, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Constituents of jets, which have a taste of their own: entries of one jet are correlated."""
    own = random.dirichlet(5 * shares, n)
    return np.array([random.multinomial(random.integers(0, 30), one) for one in own]).astype(np.float64)


SHARES = np.array([0.3, 0.25, 0.2, 0.15, 0.07, 0.03])


def test_p_values_of_equal_distributions_are_uniform_although_the_entries_of_a_jet_are_correlated() -> None:
    random = np.random.default_rng(1)

    def p_value() -> float | None:
        first, second = (shape(jets(random, 300, SHARES), random.uniform(0.5, 2, 300)) for _ in range(2))
        return compare_shapes(first, second).p_value

    p_values = [p_value() for _ in range(300)]
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_one_entry_an_example_gives_pearsons_test() -> None:
    random = np.random.default_rng(2)
    rows = [np.eye(BINS)[random.choice(BINS, n, p=SHARES)] for n in (20_000, 50_000)]
    ours = compare_shapes(*(shape(row, np.ones(len(row))) for row in rows))
    pearson = chi2_contingency(np.array([row.sum(0) for row in rows]), correction=False)
    assert ours.degrees == pearson.dof and ours.value == pytest.approx(pearson.statistic, rel=0.01)


@given(st.integers(0, 2**32 - 1))
def test_the_covariance_is_that_of_the_residuals_of_each_example(seed: int) -> None:
    random = np.random.default_rng(seed)
    entries, weight = random.poisson(2, (50, BINS)).astype(np.float64) + np.eye(BINS)[0], random.normal(1, 0.3, 50)
    made = shape(entries, weight)
    residuals = weight[:, None] * (entries - made.shares * entries.sum(1, keepdims=True)) / made.total
    np.testing.assert_allclose(made.covariance, residuals.T @ residuals, rtol=1e-9, atol=1e-15)


def test_a_shifted_shape_is_seen() -> None:
    random = np.random.default_rng(3)
    shifted = np.roll(SHARES, 1)
    first, second = (shape(jets(random, 300, shares), np.ones(300)) for shares in (SHARES, shifted))
    assert compare_shapes(first, second).p_value == pytest.approx(0, abs=1e-6)


def test_bins_without_entries_or_weight_are_merged() -> None:
    random = np.random.default_rng(4)
    entries = jets(random, 300, SHARES)
    entries[:, 2] = 0
    zero_weight = np.concatenate([entries, np.eye(BINS)[[2, 2]]]), np.append(np.ones(300), [0.0, 0.0])
    result = compare_shapes(shape(*zero_weight), shape(entries, np.ones(300)))
    assert result.degrees <= BINS - 2 and result.p_value == pytest.approx(1)
    nothing = compare_shapes(Shape.zeros(BINS), shape(entries, np.ones(300)))
    assert nothing.degrees == 0 and nothing.p_value is None
