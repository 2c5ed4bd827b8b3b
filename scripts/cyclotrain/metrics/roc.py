"""Weighted ROC curves and the background rejection at fixed signal efficiencies, with statistical uncertainties."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.estimate import Estimate, poisson_replicas

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Roc:
    """Signal and background efficiencies [n + 1] of the cuts score >= threshold, from the hardest (0, 0) to no cut (1, 1).

    Negative weights are used as they are. An efficiency can then exceed 1, be below 0, or fall when the cut gets looser, and the
    area can be outside [0, 1].
    """

    signal: npt.NDArray[np.float64]
    background: npt.NDArray[np.float64]

    @classmethod
    def from_scores(cls, score: Floats, is_signal: Bools, *, weight: Floats) -> "Roc":
        """The curve of `score` [n]; equal scores form one cut."""
        order, cuts = _order_and_cuts(score)
        return cls._from_sorted(is_signal[order], weight[order].astype(np.float64), cuts=cuts)

    @classmethod
    def _from_sorted(cls, is_signal: Bools, weight: Floats, *, cuts: npt.NDArray[np.integer]) -> "Roc":
        signal, background = (np.cumsum(np.where(chosen, weight, 0.0))[cuts] for chosen in (is_signal, ~is_signal))
        return cls(np.append(0.0, signal / signal[-1]), np.append(0.0, background / background[-1]))

    @property
    def auc(self) -> float:
        """Area under the curve of signal efficiency against background efficiency."""
        return float(np.trapezoid(self.signal, self.background))

    def background_at(self, signal_efficiency: float) -> float:
        """Background efficiency of the hardest cut with at least this signal efficiency (not interpolated)."""
        return float(self.background[int(np.argmax(self.signal >= signal_efficiency))])


def roc_auc_and_rejections(
    score: Floats, is_signal: Bools, *, weight: Floats, signal_efficiencies: Sequence[float], seed: int
) -> tuple[Roc, Estimate, list[Estimate]]:
    """The ROC curve, the area under it, and the rejection 1/(background efficiency) at each signal efficiency.

    Uncertainties are the standard deviation over 200 Poisson bootstrap replicas of signal and background. The uncertainty of a
    rejection is propagated from that of the background efficiency e, sigma(e)/e^2: with few events, 1/e itself has heavy tails.
    A rejection is None if no background passes the cut.
    """
    order, cuts = _order_and_cuts(score)
    is_signal, weights = is_signal[order], weight[order].astype(np.float64)
    nominal = Roc._from_sorted(is_signal, weights, cuts=cuts)

    def has_both(replica: npt.NDArray[np.float64]) -> bool:
        return bool(min(replica[is_signal].sum(), replica[~is_signal].sum()) > 0)

    areas, backgrounds = [], []
    for replica in poisson_replicas(weights, seed=seed, is_usable=has_both):
        roc = Roc._from_sorted(is_signal, replica, cuts=cuts)
        areas.append(roc.auc)
        backgrounds.append([roc.background_at(e) for e in signal_efficiencies])
    by_efficiency = zip(signal_efficiencies, np.array(backgrounds).T, strict=True)
    return (
        nominal,
        Estimate(nominal.auc, float(np.std(areas, ddof=1))),
        [_rejection(nominal.background_at(e), replicas) for e, replicas in by_efficiency],
    )


def _order_and_cuts(score: Floats) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """The order of falling scores, and in it the index of the last of each group of equal scores."""
    order = np.argsort(-score, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)


def _rejection(background: float, replicas: npt.NDArray[np.float64]) -> Estimate:
    if background <= 0:
        return Estimate(None, None)
    return Estimate(1 / background, float(replicas.std(ddof=1)) / background**2)
