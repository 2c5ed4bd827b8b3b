"""Narrow bins of a score, and the cut that reaches an efficiency."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.metrics.score_bins import N_BINS, hardest_cut, lower_edge, score_bin


@given(st.floats(1e-12, 1 - 1e-6), st.floats(1e-12, 1 - 1e-6))
def test_a_score_is_above_the_lower_edge_of_its_bin_and_bins_have_the_order_of_scores(p: float, other: float) -> None:
    first, second = score_bin(np.array([p, other]), 1 - np.array([p, other])).tolist()
    assert lower_edge(first) <= p * (1 + 1e-12) and (first == N_BINS - 1 or p < lower_edge(first + 1) * (1 + 1e-12))
    assert (first <= second) == (p <= other) or first == second


def test_probabilities_of_0_are_in_the_bins_at_the_ends() -> None:
    zero, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    assert score_bin(one, zero)[0] == N_BINS - 1 and score_bin(zero, one)[0] == 0
    assert lower_edge(0) == 0


def test_the_cut_is_the_hardest_that_reaches_the_efficiency_also_where_negative_weights_let_it_fall() -> None:
    scores = np.random.default_rng(0).beta(2, 1, 50_000)
    sums = np.bincount(score_bin(scores, 1 - scores), minlength=N_BINS).astype(float)
    cut = hardest_cut(sums, 0.3)
    assert lower_edge(cut) == pytest.approx(np.quantile(scores, 0.7), abs=5e-4)
    falling = np.zeros(N_BINS)
    falling[[5, 10, 20]] = 4, -3, 5
    assert hardest_cut(falling, 0.5) == 20
    assert hardest_cut(-falling, 0.5) is None
