"""The distance correlation, against its definition with matrices of distances, and against what it is for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.metrics.distance_correlation import distance_correlation


def double_centred(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    distance = np.abs(x[:, None] - x[None, :])
    mean = distance @ weight
    return distance - mean[:, None] - mean[None, :] + weight @ mean


def by_definition(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """With n x n matrices, as the code beside arXiv 2001.05310 does."""
    w = weight / weight.sum()
    a, b = double_centred(x, w), double_centred(y, w)
    return float((w @ (a * b) @ w) / np.sqrt((w @ a**2 @ w) * (w @ b**2 @ w))) ** 0.5


@given(seed=st.integers(0, 10_000), n=st.integers(3, 120), signed=st.booleans(), ties=st.booleans())
def test_it_is_that_of_the_definition_with_weights_of_any_sign(seed: int, n: int, signed: bool, ties: bool) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(5, 2, n)
    y = np.round(x**2 + random.normal(0, 3, n)) if ties else x**2 + random.normal(0, 3, n)
    if ties:
        x = np.round(x)
    weight = random.uniform(0.2, 2, n) * np.where(signed & (random.random(n) < 0.2), -1, 1)
    measured = distance_correlation(x, y, weight=weight).value
    w = weight / weight.sum()
    is_defined = weight.sum() > 0 and all(np.ptp(z) > 0 and w @ double_centred(z, w) ** 2 @ w > 1e-9 for z in (x, y))
    if is_defined:
        assert measured == pytest.approx(by_definition(x, y, weight), abs=1e-9)


def test_it_is_1_for_a_line_and_does_not_depend_on_origin_unit_or_a_common_weight() -> None:
    random = np.random.default_rng(1)
    x, y, weight = random.normal(size=500), random.normal(size=500), random.uniform(0.5, 2, 500)
    assert distance_correlation(x, -3 * x + 1, weight=weight).value == pytest.approx(1, abs=1e-12)
    moved = distance_correlation(1e4 + 1e-3 * x, 7 * y, weight=100 * weight)
    assert moved.value == pytest.approx(distance_correlation(x, y, weight=weight).value, abs=1e-9)


def test_a_weight_of_two_is_an_example_twice() -> None:
    random = np.random.default_rng(2)
    x, y, weight = random.normal(size=200), random.normal(size=200), random.integers(1, 4, 200)
    repeated = distance_correlation(x.repeat(weight), y.repeat(weight), weight=np.ones(weight.sum()))
    assert distance_correlation(x, y, weight=weight).value == pytest.approx(repeated.value, abs=1e-9)


def test_independent_variables_have_the_value_of_fluctuations_and_dependent_ones_more_although_uncorrelated() -> None:
    squares = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        x, y, weight = random.normal(size=300), random.exponential(size=300), random.uniform(0, 2, 300)
        measured = distance_correlation(x, y, weight=weight)
        squares.append((measured.value**2, measured.if_independent**2))
    values, expected = np.mean(squares, axis=0)
    assert values == pytest.approx(expected, rel=0.05)
    x = np.random.default_rng(0).normal(size=2000)
    dependent = distance_correlation(x, x**2, weight=np.ones(2000))
    assert abs(np.corrcoef(x, x**2)[0, 1]) < 0.1 and dependent.value > 5 * dependent.if_independent


@pytest.mark.parametrize("weight", [np.zeros(4), np.array([1.0, -1, 1, -2])])
def test_there_is_none_without_weight_or_without_a_spread(weight: np.ndarray) -> None:
    x = np.array([0.1, 0.2, 0.3, 0.5])
    assert distance_correlation(x, x, weight=weight).value is None
    assert distance_correlation(x, np.full(4, 0.1), weight=np.ones(4)).value is None
