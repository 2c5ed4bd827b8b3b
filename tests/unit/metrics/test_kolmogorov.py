"""The Kolmogorov-Smirnov test, against scipy and against what weights mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cyclotrain.metrics.kolmogorov import kolmogorov_smirnov, kolmogorov_smirnov_of_sums
from cyclotrain.metrics.score_bins import N_BINS, score_bin


def samples(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return random.normal(0, 1, n), random.normal(0.1, 1, m)


def test_with_unit_weights_it_is_scipys_asymptotic_test() -> None:
    first, second = samples(2000, 1500)
    result = kolmogorov_smirnov(first, second, first_weights=np.ones(2000), second_weights=np.ones(1500))
    expected = stats.ks_2samp(first, second, method="asymp")
    assert result.distance == pytest.approx(expected.statistic, abs=1e-12)
    n = 2000 * 1500 / 3500
    assert result.p_value == pytest.approx(stats.kstwobign.sf(expected.statistic * np.sqrt(n)), rel=1e-9)


def test_a_weight_of_two_is_an_event_twice_and_a_common_factor_changes_nothing() -> None:
    first, second = samples(300, 200)
    weights = np.where(np.arange(300) % 3 == 0, 2.0, 1.0)
    weighted = kolmogorov_smirnov(first, second, first_weights=weights, second_weights=np.ones(200))
    repeated = np.repeat(first, weights.astype(int))
    twice = kolmogorov_smirnov(repeated, second, first_weights=np.ones(len(repeated)), second_weights=np.ones(200))
    assert weighted.distance == pytest.approx(twice.distance, abs=1e-12)
    scaled = kolmogorov_smirnov(first, second, first_weights=1e3 * weights, second_weights=np.full(200, 1e-3))
    assert scaled == pytest.approx(weighted, rel=1e-9)


def test_the_p_value_counts_effective_numbers_of_events() -> None:
    """One heavy event among light ones is worth little more than one event."""
    first, second = samples(400, 400)
    weights = np.ones(400)
    weights[0] = 1000.0
    effective = weights.sum() ** 2 / (weights**2).sum()
    assert effective < 2.1
    result = kolmogorov_smirnov(first, second, first_weights=weights, second_weights=np.ones(400))
    n = effective * 400 / (effective + 400)
    assert result.p_value == pytest.approx(stats.kstwobign.sf(result.distance * np.sqrt(n)), rel=1e-9)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 80), signed=st.booleans())
def test_the_distance_is_that_of_the_weighted_distributions_with_weights_of_any_sign(seed: int, n: int, signed: bool) -> None:
    random = np.random.default_rng(seed)
    samples = [(np.round(random.normal(0, 1, m), 1), random.exponential(1, m)) for m in (n, n + 7)]
    samples = [(x, w * np.where(signed & (random.random(len(w)) < 0.2), -1, 1)) for x, w in samples]
    (x, v), (y, w) = samples
    result = kolmogorov_smirnov(x, y, first_weights=v, second_weights=w)
    if v.sum() <= 0 or w.sum() <= 0:
        assert result == (None, None)
        return
    distance = max(abs(v[x <= at].sum() / v.sum() - w[y <= at].sum() / w.sum()) for at in [*x, *y])
    n_effective = [one.sum() ** 2 / (one**2).sum() for one in (v, w)]
    expected = stats.kstwobign.sf(distance * np.sqrt(np.prod(n_effective) / np.sum(n_effective)))
    assert result.distance == pytest.approx(distance, abs=1e-9)
    assert result.p_value == pytest.approx(expected, abs=1e-9)


def test_sums_in_narrow_bins_give_the_distance_to_the_share_of_a_bin() -> None:
    random = np.random.default_rng(4)
    (x, v), (y, w) = ((random.beta(a, 2, n), random.exponential(1, n)) for a, n in ((1.0, 20_000), (1.05, 9000)))
    exact = kolmogorov_smirnov(x, y, first_weights=v, second_weights=w)
    sums = [np.bincount(score_bin(z, 1 - z), weights, N_BINS) for z, weights in ((x, v), (y, w))]
    binned = kolmogorov_smirnov_of_sums(*sums, first_squares=(v**2).sum(), second_squares=(w**2).sum())
    largest = max((one / one.sum()).max() for one in sums)
    assert exact.distance - largest <= binned.distance <= exact.distance + 1e-12
    assert binned.p_value == pytest.approx(exact.p_value, rel=0.05)
    assert kolmogorov_smirnov_of_sums(sums[0], 0 * sums[1], first_squares=1, second_squares=1) == (None, None)
