"""ROC curves, areas and cuts against scikit-learn and against published formulas, with weights of both signs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from cyclotrain.metrics.efficiency import Shares
from cyclotrain.metrics.roc import Cells, background_efficiencies, discriminant, quantile_edges, rejection, signal_efficiencies

SAMPLES = {"seed": st.integers(0, 10_000), "n": st.integers(10, 300), "ties": st.booleans()}


def sample(seed: int, n: int, *, ties: bool = False, negative: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, whether signal, weight; the sums of weights are positive."""
    random = np.random.default_rng(seed)
    is_signal = np.arange(n) % 2 == 0
    score = random.normal(np.where(is_signal, 1.0, 0.0))
    weight = random.uniform(0.1, 3, n)
    if negative:
        weight *= np.where(random.random(n) < 0.2, -0.3, 1)
    return np.round(score, 1) if ties else score, is_signal, weight


def gaussian(seed: int, n: int) -> Cells:
    score, is_signal, _ = sample(seed, n)
    return Cells.exact(score, is_signal, weight=np.ones(n))


@settings(max_examples=50, deadline=None)
@given(**SAMPLES, negative=st.booleans())
def test_the_curve_is_that_of_scikit_learn(seed: int, n: int, ties: bool, negative: bool) -> None:
    score, is_signal, weight = sample(seed, n, ties=ties, negative=negative)
    roc = Cells.exact(score, is_signal, weight=weight).roc()
    background, signal, _ = roc_curve(is_signal, score, sample_weight=weight, drop_intermediate=False)
    assert roc.signal == pytest.approx(signal, abs=1e-9)
    assert roc.background == pytest.approx(background, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(**SAMPLES)
def test_the_area_is_that_of_scikit_learn_with_weights_and_ties(seed: int, n: int, ties: bool) -> None:
    score, is_signal, weight = sample(seed, n, ties=ties)
    expected = roc_auc_score(is_signal, score, sample_weight=weight)
    assert Cells.exact(score, is_signal, weight=weight).area().value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(20, 200))
def test_the_area_with_negative_weights_is_the_weighted_share_of_pairs_in_order(seed: int, n: int) -> None:
    score, is_signal, weight = sample(seed, n, ties=True, negative=True)
    signal, background = score[is_signal], score[~is_signal]
    in_order = np.greater.outer(signal, background) + 0.5 * np.equal.outer(signal, background)
    expected = weight[is_signal] @ in_order @ weight[~is_signal] / weight[is_signal].sum() / weight[~is_signal].sum()
    assert Cells.exact(score, is_signal, weight=weight).area().value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(**SAMPLES)
def test_the_uncertainty_of_the_area_is_delongs(seed: int, n: int, ties: bool) -> None:
    """With unit weights, up to the factor (n - 1) / n."""
    score, is_signal, _ = sample(seed, n, ties=ties)
    signal, background = score[is_signal], score[~is_signal]
    in_order = np.greater.outer(signal, background) + 0.5 * np.equal.outer(signal, background)
    expected = sum(placed.var() / len(placed) for placed in (in_order.mean(axis=1), in_order.mean(axis=0)))
    uncertainty = Cells.exact(score, is_signal, weight=np.ones(n)).area().uncertainty
    assert uncertainty == pytest.approx(np.sqrt(expected), abs=1e-9)


def test_the_uncertainty_of_the_area_is_the_spread_of_bootstrap_replicas() -> None:
    score, is_signal, weight = sample(3, 1000, ties=True, negative=True)
    random = np.random.default_rng(0)
    areas = [Cells.exact(score, is_signal, weight=weight * random.poisson(1, 1000)).area().value for _ in range(500)]
    assert Cells.exact(score, is_signal, weight=weight).area().uncertainty == pytest.approx(np.std(areas), rel=0.15)


def test_the_rejection_is_taken_at_the_cut_with_this_signal_efficiency() -> None:
    score = np.arange(100) / 100
    is_signal = np.tile([True, False], 50)
    cells = Cells.exact(score, is_signal, weight=np.ones(100))
    kept = score >= np.sort(score[is_signal])[25]
    at_half = background_efficiencies(cells, [0.5], seed=1).estimate(0)
    assert rejection(at_half).value == pytest.approx(1 / (kept & ~is_signal).sum() * 50)
    assert (score >= cells.cut_at_signal(0.5)).tolist() == kept.tolist()


def test_a_rejection_is_none_if_no_background_passes_the_cut() -> None:
    score = np.concatenate([np.linspace(0.5, 1, 50), np.linspace(0, 0.4, 50)])
    cells = Cells.exact(score, score >= 0.5, weight=np.ones(100))
    assert cells.area().value == 1
    assert rejection(background_efficiencies(cells, [0.3], seed=1).estimate(0)).value is None


def test_without_a_positive_sum_of_weights_nothing_is_measured() -> None:
    score, is_signal = np.array([0.9, 0.4, 0.3]), np.array([True, False, True])
    for weight in (np.zeros(3), np.array([1.0, 0, 1]), np.array([1.0, -1, 1])):
        cells = Cells.exact(score, is_signal, weight=weight)
        assert not cells.is_measurable and cells.area().value is None
        with pytest.raises(ValueError, match="without a positive sum of weights"):
            cells.roc()
    assert not Cells.exact(score, np.ones(3, bool), weight=np.ones(3)).is_measurable  # a class that is missing


def test_a_few_examples_have_uncertainties_too() -> None:
    score, is_signal = np.array([0.9, 0.4, 0.3]), np.array([True, False, True])
    cells = Cells.exact(score, is_signal, weight=np.ones(3))
    area = cells.area()
    assert area.value == 0.5 and area.uncertainty is not None and np.isfinite(area.uncertainty)
    assert rejection(background_efficiencies(cells, [0.5], seed=1).estimate(0)).value is None


def test_negative_weights_count_as_they_are_and_every_uncertainty_is_finite() -> None:
    """Of few events with weights of ±1, a bootstrap replica can have a sum of weights of 0 or less."""
    score, is_signal = np.linspace(1, 0, 10), np.arange(10) < 5
    weight = np.array([1.0, 1, 1, -1, -1, 1, 1, -1, -1, 1])
    cells = Cells.exact(score, is_signal, weight=weight)
    curve, area = cells.roc(), cells.area()
    assert curve.signal.max() == 3 and curve.background.max() == 2 and curve.signal[-1] == curve.background[-1] == 1
    assert area.value == roc_auc_score(is_signal, score)  # the signal is above the whole background
    assert area.uncertainty is not None and np.isfinite(area.uncertainty)
    band = background_efficiencies(cells, [0.5, 1.0], seed=1)
    assert np.isfinite(band.uncertainty).all()


def covered(values: Shares, truth: np.ndarray) -> np.ndarray:
    return np.abs(values.value - truth) < values.uncertainty


def test_bands_cover_the_truth_in_two_thirds_of_repeated_samples() -> None:
    """Two Gaussians one standard deviation apart, for which the background efficiency is known."""
    at = np.array([0.2, 0.4, 0.6, 0.8])
    truth = norm.sf(norm.isf(at) + 1)
    inside = [covered(background_efficiencies(gaussian(seed, 1000), at, seed=seed), truth) for seed in range(250)]
    assert np.mean(inside) == pytest.approx(0.683, abs=0.03)
    areas = [gaussian(seed, 500).area() for seed in range(1000)]
    inside_area = [abs(area.value - norm.cdf(np.sqrt(0.5))) < area.uncertainty for area in areas]
    assert np.mean(inside_area) == pytest.approx(0.683, abs=0.03)


def test_signal_efficiencies_at_a_mistag_rate_cover_the_truth_too() -> None:
    at = [0.05, 0.2, 0.5]
    truth = norm.sf(norm.isf(at) - 1)
    inside = [covered(signal_efficiencies(gaussian(seed, 1000), at, seed=seed), truth) for seed in range(250)]
    assert np.mean(inside) == pytest.approx(0.683, abs=0.03)


def test_the_signal_efficiency_at_a_mistag_rate_is_that_of_the_cut() -> None:
    for negative in (False, True):
        score, is_signal, weight = sample(5, 2000, negative=negative)
        cells = Cells.exact(score, is_signal, weight=weight)
        index = cells.cut_at_background(0.1)
        assert index is not None
        kept = cells.efficiencies(cells.signal).value[index]
        assert signal_efficiencies(cells, [0.1], seed=1).value[0] == pytest.approx(kept, abs=1e-12)


def test_bands_with_weights_cover_too() -> None:
    """Weights follow the score, so that they are not those of fewer examples."""
    at, inside = np.array([0.3, 0.5, 0.7]), []
    truth = norm.sf(norm.isf(at) + 1)
    for seed in range(250):
        random = np.random.default_rng(seed)
        is_signal = np.arange(1000) % 2 == 0
        mean = np.where(is_signal, 1.0, 0.0)
        score = random.normal(mean, 1.5)  # reweighted to a width of 1
        weight = norm.pdf(score, mean) / norm.pdf(score, mean, 1.5) * random.choice([2.0, -0.2], 1000, p=[0.9, 0.1])
        cells = Cells.exact(score, is_signal, weight=weight)
        inside.append(covered(background_efficiencies(cells, at, seed=seed), truth))
    assert np.mean(inside) == pytest.approx(0.683, abs=0.03)


def test_cells_between_quantiles_of_a_sample_agree_with_the_exact_curve() -> None:
    """Far within the uncertainties, which agree too, for blocks that are summed one after the other."""
    n = 200_000
    score, is_signal, weight = sample(1, n, negative=True)
    score = 1 / (1 + np.exp(-3 * score))
    exact = Cells.exact(score, is_signal, weight=weight)
    edges = quantile_edges(score[::4], is_signal[::4])
    first, *others = (
        Cells.between(edges, score[rows], is_signal[rows], weight=weight[rows]) for rows in np.array_split(np.arange(n), 5)
    )
    coarse = sum(others, first)
    assert len(coarse.threshold) < 10_000
    assert coarse.area().value == pytest.approx(exact.area().value, abs=1e-6)
    assert coarse.area().uncertainty == pytest.approx(exact.area().uncertainty, rel=1e-3)
    at = np.array([0.01, 0.1, 0.3, 0.5, 0.7, 0.9])
    fine, binned = (background_efficiencies(cells, at, seed=1) for cells in (exact, coarse))
    assert (np.abs(binned.value - fine.value) < 0.1 * fine.uncertainty).all()
    assert binned.uncertainty == pytest.approx(fine.uncertainty, rel=0.2)  # each from 200 replicas of its own
    cuts = coarse.cut_at_background(0.01), exact.cut_at_background(0.01)
    assert coarse.threshold[cuts[0]] == pytest.approx(exact.threshold[cuts[1]], abs=1e-3)


def test_a_score_above_the_sample_is_in_the_highest_cell_and_one_below_in_the_lowest() -> None:
    edges = np.array([0.0, 0.2, 0.5])
    cells = Cells.between(edges, np.array([0.9, 0.1, 0.5, 0.0]), np.array([True, True, False, False]), weight=np.ones(4))
    assert cells.threshold.tolist() == [0.5, 0.2, 0.0]
    assert cells.signal.weight.tolist() == [1, 0, 1] and cells.background.weight.tolist() == [1, 0, 1]


def test_the_replicas_of_a_cell_have_mean_and_spread_of_those_of_its_examples() -> None:
    score, is_signal, weight = sample(2, 100, negative=True)
    cells = Cells.between(np.array([0.0]), score, is_signal, weight=weight)
    random = np.random.default_rng(1)
    drawn = np.array([cells.signal.replica(random)[0] for _ in range(4000)])
    assert drawn.mean() == pytest.approx(weight[is_signal].sum(), rel=0.02)
    assert drawn.std() == pytest.approx(np.sqrt((weight[is_signal] ** 2).sum()), rel=0.05)


@settings(max_examples=50, deadline=None)
@given(**SAMPLES, mistag=st.floats(0.001, 0.999))
def test_the_cut_at_a_mistag_rate_is_the_loosest_that_keeps_at_most_that(seed: int, n: int, ties: bool, mistag: float) -> None:
    score, is_signal, weight = sample(seed, n, ties=ties)
    cells = Cells.exact(score, is_signal, weight=weight)
    kept = [weight[~is_signal & (score >= cut)].sum() / weight[~is_signal].sum() for cut in cells.threshold]
    index = cells.cut_at_background(mistag)
    if index is None:
        assert kept[next(i for i, share in enumerate(kept) if share > 0)] > mistag
    else:
        assert 0 < kept[index] <= mistag and (index + 1 == len(kept) or kept[index + 1] > mistag)


def test_a_mistag_rate_that_is_reached_exactly_is_kept() -> None:
    score, is_signal = np.arange(20.0)[::-1], np.arange(20) % 2 == 0  # signal and background in turn, from the highest score on
    cells = Cells.exact(score, is_signal, weight=np.ones(20))
    index = cells.cut_at_background(0.2)
    assert index is not None
    kept = score >= cells.threshold_at(index)
    assert (kept & ~is_signal).sum() == 2 and (kept & is_signal).sum() == 3  # the next background would be the third
    assert signal_efficiencies(cells, [0.2], seed=1).value[0] == 0.3


def test_the_score_of_a_pair_keeps_the_order_of_probabilities_that_round_to_one() -> None:
    probabilities = np.array([[1, 1e-9, 0], [1, 1e-10, 0], [0, 0, 1], [np.nan, 0, 1]], np.float32)
    pair, rest = discriminant(probabilities, 0, [1]), discriminant(probabilities, 0, [1, 2])
    assert pair[0] < pair[1] < 1 and rest[0] < rest[1] < 1
    assert pair[2:].tolist() == [0, 0] and rest[2:].tolist() == [0, 0]
