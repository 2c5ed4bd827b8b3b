"""Weighted ROC curves, background rejection at fixed signal efficiency, and their statistical uncertainties."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
_REPLICAS = 200


@dataclass(frozen=True)
class Roc:
    """Efficiencies [n + 1] of the cuts score >= threshold, from the hardest cut (0, 0) to none (1, 1)."""

    signal: npt.NDArray[np.float64]
    background: npt.NDArray[np.float64]

    @classmethod
    def of(cls, score: Floats, is_signal: npt.NDArray[np.bool_], weight: Floats) -> "Roc":
        """The curve of `score` [n]; equal scores are one cut."""
        order = np.argsort(-score, kind="stable")
        last_of_equals = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
        return cls._of_sorted(is_signal[order], weight[order].astype(np.float64), last_of_equals)

    @classmethod
    def _of_sorted(cls, is_signal: npt.NDArray[np.bool_], weight: Floats, cuts: npt.NDArray[np.integer]) -> "Roc":
        signal, background = (np.cumsum(np.where(of, weight, 0.0))[cuts] for of in (is_signal, ~is_signal))
        return cls(np.append(0.0, signal / signal[-1]), np.append(0.0, background / background[-1]))

    @property
    def auc(self) -> float:
        """Area under the curve of signal efficiency against background efficiency."""
        return float(np.trapezoid(self.signal, self.background))

    def background_at(self, signal_efficiency: float) -> float:
        """Background efficiency of the first cut with at least this signal efficiency (not interpolated)."""
        return float(self.background[int(np.argmax(self.signal >= signal_efficiency))])


@dataclass(frozen=True)
class Figure:
    """A number with its statistical uncertainty (one standard deviation); None where nothing is left to measure it."""

    value: float | None
    uncertainty: float | None


def figures(
    score: Floats, is_signal: npt.NDArray[np.bool_], weight: Floats, signal_efficiencies: Sequence[float], seed: int
) -> tuple[Roc, Figure, list[Figure]]:
    """The ROC curve, its area, and the rejection 1/background efficiency at each signal efficiency.

    Uncertainties: the standard deviation over 200 Poisson bootstrap replicas, so of background and signal both; of a
    rejection, that of the background efficiency e propagated, sigma(e)/e^2, as few events make 1/e itself heavy-tailed.
    A rejection is None where no background is left.
    """
    order = np.argsort(-score, kind="stable")
    cuts = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    is_signal, weight = is_signal[order], weight[order].astype(np.float64)
    nominal = Roc._of_sorted(is_signal, weight, cuts)
    random = np.random.default_rng(seed)
    areas, backgrounds = np.empty(_REPLICAS), np.empty((_REPLICAS, len(signal_efficiencies)))
    for replica in range(_REPLICAS):
        drawn = weight * random.poisson(1.0, len(weight))
        while not (drawn[is_signal].any() and drawn[~is_signal].any()):  # in a handful of examples, a class can be missed
            drawn = weight * random.poisson(1.0, len(weight))
        roc = Roc._of_sorted(is_signal, drawn, cuts)
        areas[replica] = roc.auc
        backgrounds[replica] = [roc.background_at(e) for e in signal_efficiencies]
    return (
        nominal,
        Figure(nominal.auc, float(areas.std(ddof=1))),
        [_rejection(nominal.background_at(e), of) for e, of in zip(signal_efficiencies, backgrounds.T, strict=True)],
    )


def _rejection(background: float, replicas: npt.NDArray[np.float64]) -> Figure:
    if background <= 0:
        return Figure(None, None)
    return Figure(1 / background, float(replicas.std(ddof=1)) / background**2)
