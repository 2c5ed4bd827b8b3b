"""How far a variation moves figures of a score, with uncertainties that know which events are the same in both.

The replicas of a bootstrap are drawn by event: the same event counts as often in the nominal sample and in a varied one. What
the two have in common then cancels in the difference, and nothing cancels for other events.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.stats import poisson

from cyclotrain.metrics.estimate import Estimate

REPLICAS = 50  # the relative precision of an uncertainty is then 10 %
Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
_MOST = 10  # times that an event counts; more have a probability of 1e-8


def replica_counts(event_hash: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint8]:
    """How often each event counts in each replica [REPLICAS, n]: Poisson(1), from its hash alone (splitmix64)."""
    steps = np.arange(1, REPLICAS + 1, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95) + np.uint64(seed)
    x = event_hash[None, :] ^ (steps * np.uint64(0x9E3779B97F4A7C15))[:, None]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    uniform = (x ^ (x >> np.uint64(31))).astype(np.float64) / 2.0**64
    return np.searchsorted(poisson.cdf(np.arange(_MOST), 1.0), uniform, side="right").astype(np.uint8)


@dataclass(frozen=True)
class Shift:
    """What a variation does at the working point of a signal efficiency, relative to the nominal values.

    rejection: at the same signal efficiency. signal_efficiency and background_efficiency: at the nominal threshold.
    """

    rejection: Estimate
    signal_efficiency: Estimate
    background_efficiency: Estimate


class ScoreSums:
    """Sums of weights of signal and background in cells of a score, and those of the replicas [1 + REPLICAS, 2, cells].

    edges: rising, of the cells; the first cell has all scores below, the last all above.
    """

    def __init__(self, edges: Doubles) -> None:
        self._edges = edges
        self.sums = np.zeros((1 + REPLICAS, 2, len(edges)))

    def add(self, score: Floats, is_signal: npt.NDArray[np.bool_], *, weight: Floats, counts: npt.NDArray[np.uint8]) -> None:
        """Add examples [n], with `counts` [REPLICAS, n] from replica_counts."""
        cell = np.maximum(np.searchsorted(self._edges, score, side="right") - 1, 0) + len(self._edges) * ~is_signal
        size = 2 * len(self._edges)
        for index in range(1 + REPLICAS):
            times = weight if index == 0 else weight * counts[index - 1]
            self.sums[index] += np.bincount(cell, times, size).reshape(2, -1)

    def efficiencies(self) -> Doubles:
        """What cuts at the edges keep of signal and background [1 + REPLICAS, 2, cells + 1], from the hardest cut to none."""
        kept = np.cumsum(self.sums[..., ::-1], axis=-1)
        total = kept[..., -1:]
        kept = np.divide(kept, total, where=total > 0, out=np.full(kept.shape, np.nan))
        return np.concatenate([np.zeros((*kept.shape[:-1], 1)), kept], axis=-1)


@dataclass(frozen=True)
class Shifts:
    """The efficiencies of nominal and varied events."""

    nominal: Doubles
    varied: Doubles

    @classmethod
    def of(cls, nominal: ScoreSums, varied: ScoreSums) -> Self:
        return cls(nominal.efficiencies(), varied.efficiencies())

    def auc(self) -> Estimate:
        """The area under the varied ROC curve minus that under the nominal one; scores in one cell count half."""
        areas = [np.array([np.trapezoid(*pair) for pair in kept]) for kept in (self.varied, self.nominal)]
        return _estimate(areas[0] - areas[1])

    def at(self, signal_efficiency: float) -> Shift:
        """At a working point. Efficiencies are interpolated in the cells; None where the nominal one is 0."""
        cells = np.arange(self.nominal.shape[-1], dtype=np.float64)
        cut = float(np.interp(signal_efficiency, np.maximum.accumulate(self.nominal[0, 0]), cells))
        kept = [np.stack([[np.interp(cut, cells, one) for one in pair] for pair in both]) for both in (self.nominal, self.varied)]
        backgrounds = [
            np.array([np.interp(signal_efficiency, np.maximum.accumulate(pair[0]), pair[1]) for pair in both])
            for both in (self.nominal, self.varied)
        ]
        return Shift(
            rejection=_estimate(_relative(backgrounds[0], backgrounds[1])),
            signal_efficiency=_estimate(_relative(kept[1][:, 0], kept[0][:, 0])),
            background_efficiency=_estimate(_relative(kept[1][:, 1], kept[0][:, 1])),
        )


def _relative(values: Doubles, to: Doubles) -> Doubles:
    """values / to - 1, NaN where that is not defined."""
    return np.divide(values, to, where=to > 0, out=np.full(len(to), np.nan)) - 1


def _estimate(values: Doubles) -> Estimate:
    """The first value, with the standard deviation of the others; None for NaN."""
    if not np.isfinite(values[0]):
        return Estimate(None, None)
    replicas = values[1:][np.isfinite(values[1:])]
    return Estimate(float(values[0]), float(replicas.std(ddof=1)) if len(replicas) > 1 else None)


def thinned(edges: Doubles, most: int = 2048) -> Doubles:
    """At most so many of the edges, evenly."""
    return edges[:: -(-len(edges) // most)]
