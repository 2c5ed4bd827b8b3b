"""Shifts of the figures of a score, against exact ROC curves and against what independent samples say."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import chisquare, poisson
from sklearn.metrics import roc_auc_score

from cyclotrain.metrics.roc import Cells, quantile_edges
from cyclotrain.metrics.shifts import REPLICAS, ScoreSums, Shifts, replica_counts, thinned

Doubles = npt.NDArray[np.float64]


def hashes(n: int, seed: int) -> npt.NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def sample(
    n: int, seed: int, shift: float = 0.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    is_signal = random.random(n) < 0.4
    odds = random.normal(np.where(is_signal, 1.0 + shift, -1.0), 1.2)
    return 1 / (1 + np.exp(-odds)), is_signal, random.uniform(0.5, 1.5, n)


def sums(edges: Doubles, events: npt.NDArray[np.uint64], score: Doubles, is_signal: Any, weight: Doubles) -> ScoreSums:
    found = ScoreSums(edges)
    for part in np.array_split(np.arange(len(score)), 3):
        found.add(score[part], is_signal[part], weight=weight[part], counts=replica_counts(events[part], 7))
    return found


def test_an_event_counts_poisson_times_and_the_same_wherever_it_is() -> None:
    events = hashes(20_000, 1)
    counts = replica_counts(events, 3)
    expected = poisson.pmf(np.arange(6), 1.0)
    observed = np.bincount(counts.ravel(), minlength=12)
    expected = np.append(expected, 1 - expected.sum()) * counts.size
    assert chisquare(np.append(observed[:6], observed[6:].sum()), expected).pvalue > 0.001
    order = np.random.default_rng(2).permutation(len(events))
    np.testing.assert_array_equal(replica_counts(events[order], 3), counts[:, order])
    assert np.abs(np.corrcoef(counts.astype(float)) - np.eye(REPLICAS)).max() < 0.04
    assert (replica_counts(events, 4) != counts).mean() > 0.5


def test_events_whose_hashes_are_close_do_not_count_alike() -> None:
    """Those of a split or a fold are in one range of hashes."""
    counts = replica_counts(np.uint64(2**63) + np.arange(20_000, dtype=np.uint64), 3).astype(float)
    assert counts.mean() == pytest.approx(1, abs=0.01) and abs(np.corrcoef(counts[0, 1:], counts[0, :-1])[0, 1]) < 0.03


def test_values_are_those_of_exact_curves() -> None:
    (score, is_signal, weight), (moved, *_) = sample(30_000, 1), sample(30_000, 1, shift=0.3)
    edges, events = thinned(quantile_edges(score, is_signal)), hashes(30_000, 1)
    shifts = Shifts.of(sums(edges, events, score, is_signal, weight), sums(edges, events, moved, is_signal, weight))
    areas = [roc_auc_score(is_signal, one, sample_weight=weight) for one in (score, moved)]
    assert len(edges) <= 2048 and shifts.auc().value == pytest.approx(areas[1] - areas[0], abs=1e-5)
    nominal, varied = (Cells.exact(one, is_signal, weight=weight).roc() for one in (score, moved))
    at, cut = shifts.at(0.5), np.quantile(score[is_signal], 0.5, weights=weight[is_signal], method="inverted_cdf")
    assert at.rejection.value == pytest.approx(
        float(nominal.background_at([0.5])[0] / varied.background_at([0.5])[0]) - 1, abs=0.02
    )
    kept = [(weight * (one >= cut) * is_signal).sum() for one in (score, moved)]
    assert at.signal_efficiency.value == pytest.approx(kept[1] / kept[0] - 1, abs=2e-3)
    assert at.background_efficiency.value == 0


def test_of_the_same_events_only_the_difference_fluctuates_and_of_others_all() -> None:
    """The spread over toys of a shift of the AUC, of a small change of the weights and of an independent sample."""
    edges = thinned(quantile_edges(*sample(20_000, 999)[:2]))
    values: dict[str, list[float]] = {"weights": [], "others": []}
    stated: dict[str, list[float]] = {"weights": [], "others": []}
    for toy in range(60):
        score, is_signal, weight = sample(3000, toy)
        nominal = sums(edges, hashes(3000, toy), score, is_signal, weight)
        factor = 1 + 0.2 * (score - 0.5)
        other = sample(3000, 1000 + toy)
        varied = {
            "weights": sums(edges, hashes(3000, toy), score, is_signal, weight * factor),
            "others": sums(edges, hashes(3000, 1000 + toy), *other),
        }
        for name, one in varied.items():
            measured = Shifts.of(nominal, one).auc()
            values[name].append(measured.value or 0.0)
            stated[name].append(measured.uncertainty or 0.0)
    for name, found in values.items():
        assert np.mean(stated[name]) == pytest.approx(np.std(found, ddof=1), rel=0.3), name
    assert np.mean(stated["weights"]) < 0.1 * np.mean(stated["others"])


def test_without_weight_there_is_no_shift() -> None:
    score, is_signal, weight = sample(500, 1)
    edges = quantile_edges(score, is_signal)
    nominal = sums(edges, hashes(500, 1), score, is_signal, weight)
    nothing = sums(edges, hashes(500, 1), score, is_signal, np.where(is_signal, weight, 0))
    assert Shifts.of(nominal, nothing).auc().value is None and Shifts.of(nominal, nothing).at(0.5).rejection.value is None
