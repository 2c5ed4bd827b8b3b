"""The Jensen-Shannon divergence, against scipy and against repeated samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from cyclotrain.metrics.divergence import Divergence, jensen_shannon

EDGES = np.linspace(0, 5, 26)


def sampled(seed: int, scale: float = 1.0, n: int = 4000) -> Divergence:
    random = np.random.default_rng(seed)
    parts = []
    for mean in (1.0, scale):
        values, weight = np.minimum(random.exponential(mean, n), 4.99), random.uniform(0.2, 2, n)
        parts += [np.histogram(values, EDGES, weights=w)[0] for w in (weight, weight**2)]
    return jensen_shannon(parts[0], parts[2], first_variance=parts[1], second_variance=parts[3], seed=1)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 50), signed=st.booleans())
def test_it_is_the_square_of_scipys_distance_and_a_negative_bin_is_empty(seed: int, n: int, signed: bool) -> None:
    random = np.random.default_rng(seed)
    first, second = (random.exponential(1, n) - 0.3 * signed for _ in range(2))
    first[0] = second[-1] = 1.0
    measured = jensen_shannon(first, second, first_variance=np.abs(first), second_variance=np.abs(second), seed=1)
    expected = jensenshannon(np.maximum(first, 0), np.maximum(second, 0), base=2) ** 2
    assert measured.value.value == pytest.approx(expected if np.isfinite(expected) else 0, abs=1e-9)


def test_it_is_0_for_the_same_shape_and_1_without_overlap() -> None:
    p, q = np.array([1.0, 3, 0, 0]), np.array([0, 0, 2.0, 2])
    assert jensen_shannon(p, 5 * p, first_variance=p, second_variance=p, seed=1).value.value == pytest.approx(0, abs=1e-12)
    assert jensen_shannon(p, q, first_variance=p, second_variance=q, seed=1).value.value == pytest.approx(1, abs=1e-12)
    assert jensen_shannon(np.zeros(4), q, first_variance=p, second_variance=q, seed=1).value.value is None


def test_the_same_distribution_has_the_value_of_fluctuations_alone() -> None:
    measured = [sampled(seed) for seed in range(200)]
    values = [one.value.value for one in measured]
    assert np.mean(values) == pytest.approx(np.mean([one.if_same for one in measured]), rel=0.05)
    assert np.std(values) == pytest.approx(np.mean([one.value.uncertainty for one in measured]), rel=0.3)


@pytest.mark.parametrize("scale", [1.1, 1.5])
def test_the_uncertainty_is_the_spread_of_repeated_samples_of_different_distributions(scale: float) -> None:
    measured = [sampled(seed, scale) for seed in range(200)]
    spread = np.std([one.value.value for one in measured])
    assert spread == pytest.approx(np.mean([one.value.uncertainty for one in measured]), rel=0.25)
    above = np.mean([one.value.value - one.if_same for one in measured])
    assert above > 10 * spread / np.sqrt(200)


@pytest.mark.parametrize("n", [15, 50])
def test_also_a_few_entries_in_many_bins_have_the_value_of_fluctuations(n: int) -> None:
    measured = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        first, second = (np.histogram(random.exponential(1, k), EDGES)[0] for k in (n, 4000))
        measured.append(jensen_shannon(first, second, first_variance=first, second_variance=second, seed=seed))
    values, expected = [one.value.value for one in measured], [one.if_same for one in measured]
    assert np.mean(values) == pytest.approx(np.mean(expected), rel=0.05)
    assert np.std(values) == pytest.approx(np.mean([one.value.uncertainty for one in measured]), rel=0.4)
