"""Weighted ROC curves, areas, rejections and cuts of a score, with statistical uncertainties.

Examples are summed in cells of the score first. With few examples, each score is a cell of its own, and all is exact. With many,
cells have edges that are quantiles of a sample, so that memory does not grow with the number of examples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.efficiency import Shares, estimate, shares
from cyclotrain.metrics.estimate import Estimate

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]
_REPLICAS = 200
_CELLS = 4096  # quantiles of each class, where there are too many examples for a cell per score


def discriminant(probabilities: Floats, signal: int, backgrounds: Sequence[int]) -> Array:
    """The score of the examples [n] of probabilities [n, classes]: p_signal / (p_signal + sum of p_background).

    The sum is over the backgrounds, so that scores near 1 keep their order where p_signal itself is rounded to 1. An example
    whose probabilities are all 0, or not finite, has the score 0.
    """
    p_signal = probabilities[:, signal].astype(np.float64)
    total = p_signal + probabilities[:, list(backgrounds)].sum(axis=1, dtype=np.float64)
    is_finite = np.isfinite(total) & (total > 0)
    return np.divide(p_signal, total, out=np.zeros(len(total)), where=is_finite)


def quantile_edges(score: Floats, is_signal: Bools) -> Array:
    """Edges of cells for many examples, rising: quantiles of the scores [n] of a sample, 4096 of signal and of background."""
    share = np.linspace(0, 1, _CELLS + 1)
    quantiles = [np.quantile(score[chosen], share) for chosen in (is_signal, ~is_signal) if chosen.any()]
    return np.unique(np.concatenate([[0.0], *quantiles])).astype(np.float64)


@dataclass(frozen=True)
class Sums:
    """Sums of w and of w^2 in cells [m], of positive weights and of negative ones."""

    positive: Array
    positive_squares: Array
    negative: Array
    negative_squares: Array

    @classmethod
    def of(cls, cell: npt.NDArray[np.integer], weight: Floats, n_cells: int) -> Self:
        """Of examples [n], each in a cell."""
        w = weight.astype(np.float64)
        parts = (w.clip(min=0), w.clip(max=0)) if w.size and w.min() < 0 else (w, None)
        sums = []
        for part in parts:
            powers = (np.zeros(n_cells),) * 2 if part is None else (np.bincount(cell, part**k, n_cells) for k in (1, 2))
            sums += [*powers]
        return cls(*sums)

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(mine + theirs for mine, theirs in zip(self._parts, other._parts, strict=True)))

    @property
    def _parts(self) -> tuple[Array, Array, Array, Array]:
        return self.positive, self.positive_squares, self.negative, self.negative_squares

    @cached_property
    def weight(self) -> Array:
        """The sum of weights in each cell."""
        return self.positive + self.negative

    @cached_property
    def squares(self) -> Array:
        """The sum of squared weights in each cell."""
        return self.positive_squares + self.negative_squares

    def replica(self, random: np.random.Generator) -> Array:
        """The sums of weights of a bootstrap replica, in which each example counts as often as Poisson(1) says.

        In a cell of many examples this is a compound Poisson distribution. It is drawn as a Poisson distribution times
        sum w^2 / sum w, which has its mean and its variance (Bohm and Zech 2014), and is exact for equal weights.
        """
        drawn = np.zeros(len(self.positive))
        for part in self._parts_to_draw:
            n = len(part.mean)
            if part.is_of_single_examples:  # their total number first, then where each is: the same, and three times as fast
                counts = np.bincount(random.integers(0, n, random.poisson(n)), minlength=n) if n else np.empty(0)
            else:
                counts = random.poisson(part.mean)
            drawn[part.cells] += part.scale * counts
        return drawn

    @cached_property
    def _parts_to_draw(self) -> tuple["_Part", "_Part"]:
        return _Part.of(self.positive, self.positive_squares), _Part.of(self.negative, self.negative_squares)


@dataclass(frozen=True)
class _Part:
    """Cells with weights of one sign, and the Poisson distributions that replicas of them are drawn from."""

    cells: npt.NDArray[np.integer]
    mean: Array
    scale: Array
    is_of_single_examples: bool

    @classmethod
    def of(cls, weight: Array, squares: Array) -> Self:
        cells = np.flatnonzero(squares)
        mean, scale = weight[cells] ** 2 / squares[cells], squares[cells] / weight[cells]
        return cls(cells, mean, scale, bool(np.allclose(mean, 1, rtol=0, atol=1e-9)))


@dataclass(frozen=True)
class Cells:
    """Signal and background in cells of the score, from the highest to the lowest.

    threshold [m]: the cut `score >= threshold` keeps the cell and those above. is_exact: each score has a cell of its own.
    """

    threshold: Array
    signal: Sums
    background: Sums
    is_exact: bool

    @classmethod
    def exact(cls, score: Floats, is_signal: Bools, *, weight: Floats) -> Self:
        """Of examples [n]; equal scores form one cell."""
        falling, cell = np.unique(-score.astype(np.float64), return_inverse=True)
        signal, background = (Sums.of(cell[chosen], weight[chosen], len(falling)) for chosen in (is_signal, ~is_signal))
        return cls(-falling, signal, background, is_exact=True)

    @classmethod
    def between(cls, edges: Array, score: Floats, is_signal: Bools, *, weight: Floats) -> Self:
        """Of examples [n] in the cells between rising edges; the last cell has all scores above, the first all below."""
        cell = len(edges) - 1 - np.maximum(np.searchsorted(edges, score, side="right") - 1, 0)
        signal, background = (Sums.of(cell[chosen], weight[chosen], len(edges)) for chosen in (is_signal, ~is_signal))
        return cls(edges[::-1], signal, background, is_exact=False)

    def __add__(self, other: "Cells") -> "Cells":
        """Of the examples of both, for cells with the same edges."""
        return Cells(self.threshold, self.signal + other.signal, self.background + other.background, is_exact=False)

    @property
    def is_measurable(self) -> bool:
        """Whether both sums of weights are positive. Otherwise no efficiency is defined."""
        return bool(min(self.signal.weight.sum(), self.background.weight.sum()) > 0)

    def efficiencies(self, which: Sums) -> Shares:
        """The share of the signal or the background that each cut keeps [m], with the uncertainty for a fixed cut."""
        total, squares = (np.full(len(self.threshold), x.sum()) for x in (which.weight, which.squares))
        return shares(np.cumsum(which.weight), np.cumsum(which.squares), total=total, total_squares=squares)

    def roc(self) -> "Roc":
        """The curve; raises ValueError if it is not measurable."""
        if not self.is_measurable:
            raise ValueError("no ROC curve without a positive sum of weights of signal and background")
        return Roc.of(self.signal.weight, self.background.weight, is_exact=self.is_exact)

    def area(self) -> Estimate:
        """The area under the curve of signal efficiency against background efficiency; equal scores count half.

        The uncertainty is that of DeLong, DeLong and Clarke-Pearson 1988 with weights: the limit of the bootstrap for many
        replicas. In cells that are not exact, the order inside of a cell is not known, which changes the area by about the
        square of the share of examples that are in a cell.
        """
        if not self.is_measurable:
            return Estimate(None, None)
        roc = self.roc()
        area, variance = roc.auc, 0.0
        # of a signal example, the background below it; of a background example, the signal above it
        for which, placed in ((self.signal, 1 - _middles(roc.background)), (self.background, _middles(roc.signal))):
            variance += float((which.squares * (placed - area) ** 2).sum()) / float(which.weight.sum()) ** 2
        return Estimate(area, float(np.sqrt(variance)))

    def cut_at_signal(self, signal_efficiency: float) -> float:
        """The threshold of the hardest cut that keeps at least this share of the signal; raises ValueError as `roc`."""
        return self.threshold_at(int(self.roc().first_at([signal_efficiency])[0]))

    def threshold_at(self, index: int) -> float:
        """The threshold of a cut by its index; of exact cells, in the middle between the scores that are kept and the next.

        A score that is rounded otherwise, as in float32, is then on the same side.
        """
        score = float(self.threshold[index])
        if not self.is_exact or index + 1 == len(self.threshold):
            return score
        below = float(self.threshold[index + 1])
        middle = (score + below) / 2
        return middle if middle > below else score

    def cut_at_background(self, mistag: float) -> int | None:
        """The index of the last cut, from the hardest on, before one keeps more than this share of the background.

        None if that keeps no background, because the share is not measured there.
        """
        kept = np.cumsum(self.background.weight)
        index = int(_last_within(kept, np.array([mistag]))[0])
        return index if index >= 0 and kept[index] > 0 else None


@dataclass(frozen=True)
class Roc:
    """Signal and background efficiencies [m + 1] of the cuts score >= threshold, from the hardest (0, 0) to no cut (1, 1).

    Negative weights are used as they are. An efficiency can then exceed 1, be below 0, or fall when the cut gets looser, and the
    area can be outside [0, 1].
    """

    signal: Array
    background: Array
    is_exact: bool = True

    @classmethod
    def of(cls, signal: Array, background: Array, *, is_exact: bool) -> Self:
        """From the sums of weights [m] in cells of falling score."""
        kept_signal, kept_background = (np.append(0.0, np.cumsum(sums)) for sums in (signal, background))
        return cls(kept_signal / kept_signal[-1], kept_background / kept_background[-1], is_exact)

    @property
    def auc(self) -> float:
        """Area under the curve of signal efficiency against background efficiency."""
        return float(np.trapezoid(self.signal, self.background))

    def first_at(self, signal_efficiencies: Sequence[float] | Array) -> npt.NDArray[np.integer]:
        """The cells [k] in which the signal efficiency reaches each of these, at most 1, for the first time."""
        return _first_at(self.signal[1:], np.asarray(signal_efficiencies))

    def background_at(self, signal_efficiencies: Sequence[float] | Array) -> Array:
        """Background efficiencies [k] of the hardest cuts with at least these signal efficiencies.

        Between the edges of cells that are not exact, they are interpolated.
        """
        return _background_at(self.signal[1:], self.background[1:], np.asarray(signal_efficiencies), is_exact=self.is_exact)


def background_efficiencies(cells: Cells, signal_efficiencies: Sequence[float] | Array, *, seed: int) -> Shares:
    """Background efficiencies [k] at signal efficiencies, with the uncertainties of both sums of weights.

    The uncertainties are standard deviations over 200 Poisson bootstrap replicas of signal and background, the same replicas
    for all k. A replica without a positive sum of weights of both is drawn again. Raises ValueError as `Cells.roc`.
    """
    at = np.asarray(signal_efficiencies, np.float64)
    values = cells.roc().background_at(at)
    replicas = [
        _background_at(np.cumsum(signal), np.cumsum(background), at, is_exact=cells.is_exact) / background.sum()
        for signal, background in _replicas(cells, seed)
    ]
    return Shares(values, np.std(replicas, axis=0, ddof=1))


def signal_efficiencies(cells: Cells, mistags: Sequence[float], *, seed: int) -> Shares:
    """Signal efficiencies [k] of the cuts at these shares of the background (`Cells.cut_at_background`).

    The uncertainties are those of both sums of weights, so that the cut is uncertain too, from 200 replicas as in
    `background_efficiencies`. Raises ValueError as `Cells.roc`.
    """
    shares_kept = np.asarray(mistags, np.float64)
    if not cells.is_measurable:
        raise ValueError("no efficiency without a positive sum of weights of signal and background")

    def at_cuts(signal: Array, background: Array) -> Array:
        kept = np.append(0.0, np.cumsum(signal))
        return kept[_last_within(np.cumsum(background), shares_kept) + 1] / kept[-1]

    values = at_cuts(cells.signal.weight, cells.background.weight)
    replicas = [at_cuts(signal, background) for signal, background in _replicas(cells, seed)]
    return Shares(values, np.std(replicas, axis=0, ddof=1))


def _replicas(cells: Cells, seed: int) -> Iterator[tuple[Array, Array]]:
    """Sums of weights of signal and of background [m] in replicas, each with positive sums."""
    random = np.random.default_rng(seed)
    for _ in range(_REPLICAS):
        signal, background = (which.replica(random) for which in (cells.signal, cells.background))
        while min(signal.sum(), background.sum()) <= 0:
            signal, background = (which.replica(random) for which in (cells.signal, cells.background))
        yield signal, background


def rejection(background: Estimate) -> Estimate:
    """1 / background efficiency, None if no background passes.

    The uncertainty is propagated from that of the background efficiency e, sigma(e) / e^2: with few events, 1/e itself has heavy
    tails.
    """
    if background.value is None or background.uncertainty is None or background.value <= 0:
        return Estimate(None, None)
    return estimate(1 / background.value, background.uncertainty / background.value**2)


def _first_at(kept: Array, shares: Array) -> npt.NDArray[np.integer]:
    """The cells [k] in which the signal that is kept [m] reaches these shares [k] of all for the first time."""
    # negative weights let it fall
    return np.searchsorted(np.maximum.accumulate(kept), shares * kept[-1])


def _last_within(kept: Array, shares: Array) -> npt.NDArray[np.integer]:
    """The last cell [k] before the background that is kept [m] exceeds these shares [k] of all for the first time; or -1."""
    return np.searchsorted(np.maximum.accumulate(kept), shares * kept[-1], side="right") - 1


def _background_at(kept_signal: Array, kept_background: Array, shares: Array, *, is_exact: bool) -> Array:
    """The background that is kept [k] at shares [k] of the signal, from both in cells of falling score [m]."""
    cell = _first_at(kept_signal, shares)
    after = kept_background[cell]
    if is_exact:
        return after
    is_first = cell == 0
    signal_before, before = (np.where(is_first, 0.0, kept[cell - 1]) for kept in (kept_signal, kept_background))
    step = kept_signal[cell] - signal_before
    part = np.divide(shares * kept_signal[-1] - signal_before, step, out=np.ones(len(cell)), where=step > 0).clip(0, 1)
    return before * (1 - part) + after * part


def _middles(efficiency: Array) -> Array:
    """The efficiencies [m] in the middle of each cell."""
    return (efficiency[1:] + efficiency[:-1]) / 2
