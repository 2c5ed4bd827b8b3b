import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.metrics.distributions import Axis, FineHistograms, Histograms


@given(st.integers(0, 2**32 - 1))
def test_histograms_of_batches_are_those_of_hist_for_all_values(seed: int) -> None:
    random = np.random.default_rng(seed)
    counts, groups = random.integers(0, 6, 60), random.integers(0, 2, 60)
    weight = random.normal(1, 0.5, 60)
    values = random.normal(0, 3, (counts.sum(), 2)).astype(np.float32)
    values[random.uniform(size=values.shape) < 0.1] = np.nan
    axes = [Axis(-20.0, 20.0, 50), Axis(-30.0, 30.0, 7)]
    histograms = Histograms(axes, 2)
    example = np.repeat(np.arange(60), counts)
    for part in (slice(0, 20), slice(20, 21), slice(21, 60)):
        rows = (example >= part.start) & (example < part.stop)
        histograms.add(values[rows], example=example[rows] - part.start, group=groups[part], weight=weight[part])
    for group in range(2):
        of_group = groups[example] == group
        for column, axis in enumerate(axes):
            finite = of_group & np.isfinite(values[:, column])
            expected = hist.Hist(hist.axis.Variable(axis.edges), storage=hist.storage.Weight())
            expected.fill(values[finite, column], weight=weight[example[finite]])
            shape = histograms.shapes[group][column]
            np.testing.assert_allclose(shape.counts, expected.values(), rtol=1e-9, atol=1e-9)
            assert histograms.non_finite[group, column] == np.isnan(values[of_group, column]).sum()
            own = np.zeros((60, axis.bins))
            np.add.at(own, (example[finite], np.digitize(values[finite, column], axis.edges) - 1), 1)
            own *= np.where(groups == group, weight, 0)[:, None]
            np.testing.assert_allclose(shape.products, own.T @ own, rtol=1e-9, atol=1e-9)
        assert (histograms.entries[group] == of_group.sum()).all()


def test_values_beyond_the_edges_and_infinite_ones() -> None:
    histograms = Histograms([Axis(0.0, 1.0, 2)], 1)
    values = np.array([[-1e30], [0.1], [0.9], [1e30], [np.inf], [-np.inf], [np.nan]])
    histograms.add(values, example=np.arange(7), group=np.zeros(7, np.int64), weight=np.ones(7))
    assert histograms.shapes[0][0].counts.tolist() == [2, 2] and histograms.non_finite[0, 0] == 3


def test_an_axis_fits_its_quantity() -> None:
    random = np.random.default_rng(1)
    assert Axis.of(np.array([0.0, 1.0, np.nan, 1.0])) == Axis(-0.5, 1.5, 2)
    assert Axis.of(np.array([-1.0, 3.0])) == Axis(-1.5, 3.5, 5)
    assert Axis.of(np.arange(120.0)) == Axis(-0.5, 119.5, 40)
    assert Axis.of(np.array([np.nan, np.inf])) == Axis(0.0, 1.0, 1)
    constant = Axis.of(np.full(10, 0.3, np.float32))
    assert constant.low < 0.3 < constant.high and constant.bins == 1
    wide = Axis.of(np.append(random.normal(0, 1, 100_000), 1e9))
    assert wide.bins == 50 and wide.low == pytest.approx(-3.09, abs=0.2) and wide.high == pytest.approx(3.09, abs=0.2)


@given(st.integers(0, 2**32 - 1))
def test_fine_histograms_are_those_of_hist_in_the_bins_of_the_axis(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, weight, group = random.normal(0, 3, (80, 2)).astype(np.float32), random.normal(1, 0.5, 80), random.integers(0, 3, 80)
    values[::7, 1] = np.inf
    axes = [Axis(-20.0, 20.0, 50), Axis(-30.0, 30.0, 7)]
    histograms = FineHistograms(axes, 3)
    for rows in (slice(0, 30), slice(30, 80)):
        histograms.add(values[rows], group=group[rows], weight=weight[rows])
    for column, axis in enumerate(axes):
        counts, squares = (histograms.coarse(sums, column) for sums in (histograms.counts, histograms.squares))
        for index in range(3):
            own = (group == index) & np.isfinite(values[:, column])
            expected = hist.Hist(hist.axis.Variable(axis.edges), storage=hist.storage.Weight())
            expected.fill(values[own, column], weight=weight[own])
            np.testing.assert_allclose(counts[index], expected.values(), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(squares[index], expected.variances(), rtol=1e-9, atol=1e-9)
            assert histograms.non_finite[index, column] == np.isinf(values[group == index, column]).sum()
        assert histograms.entries[:, column].tolist() == np.bincount(group, minlength=3).tolist()
