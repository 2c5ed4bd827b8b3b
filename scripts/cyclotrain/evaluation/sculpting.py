"""What a cut on the score does to the distribution of an observer in background."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from cyclotrain.contract.results import MODEL, Figure, ObserverHistogram, Sculpting, SculptingCut
from cyclotrain.evaluation.predictions import Predictions, Scored
from cyclotrain.metrics.distance_correlation import distance_correlation
from cyclotrain.metrics.distributions import Axis
from cyclotrain.metrics.divergence import Divergence, jensen_shannon
from cyclotrain.metrics.estimate import Estimate
from cyclotrain.metrics.roc import discriminant
from cyclotrain.metrics.score_bins import N_BINS, hardest_cut, lower_edge, score_bin

_BINS = 25  # of an observer
_SAMPLE = 100_000  # examples of a background, evenly spread, for the axis and the distance correlation

Doubles = npt.NDArray[np.float64]


def sculpting(
    test: Predictions, *, signal_efficiencies: Sequence[float], mistags: Sequence[float]
) -> tuple[dict[str, dict[str, Sculpting]], list[ObserverHistogram]]:
    """For each observer and background: the divergence of what passes from what fails, and the histograms.

    The cuts are on p_signal / (p_signal + p_background), at the signal efficiencies of the working points and at background
    efficiencies (`mistags`), with the physics weights. Examples whose observer is not finite are left out of all but the
    efficiencies.
    """
    contract = test.contract
    results: dict[str, dict[str, Sculpting]] = {observer.name: {} for observer in contract.observers}
    histograms: list[ObserverHistogram] = []
    if not contract.observers:
        return results, histograms
    for background in (name for name in contract.classes if name != contract.signal):
        measured = _Background(test, background, signal_efficiencies, mistags)
        for index, observer in enumerate(contract.observers):
            results[observer.name][background] = measured.result(index)
            for mistag, (counts, squares) in measured.distributions(index):
                total = float(counts.sum())
                if total > 0:
                    histogram = ObserverHistogram(
                        observer=observer.name,
                        label=observer.label,
                        background=background,
                        at_mistag=mistag,
                        edges=tuple(measured.axes[index].edges.tolist()),
                        values=tuple((counts / total).tolist()),
                        variances=tuple((squares / total**2).tolist()),
                    )
                    histograms.append(histogram)
    return results, histograms


class _Background:
    """Sums over the test examples of one background, block by block: first for axes and cuts, then for histograms."""

    def __init__(
        self, test: Predictions, background: str, signal_efficiencies: Sequence[float], mistags: Sequence[float]
    ) -> None:
        contract = test.contract
        self._texts = [observer.expression for observer in contract.observers]
        self._pair = contract.signal_index, contract.classes.index(background)
        self._seed = contract.seed
        step = max(1, -(-len(test) // _SAMPLE))
        parts, by_class = [], np.zeros((2, N_BINS))
        for block in test.blocks():
            for sums, label in zip(by_class, self._pair, strict=True):
                of_class = block.select(block.label == label)
                sums += np.bincount(self._bin(of_class), of_class.weight.astype(np.float64), N_BINS)
            parts.append(self._variables(block.select(np.arange(0, len(block), step))))
        self._observers, self._score, self._weight = (np.concatenate(part) for part in zip(*parts, strict=True))
        self.axes = [Axis.of(values, most=_BINS) for values in self._observers.T]
        self._scores = by_class
        # by efficiency, and whether this is the background's
        self._cuts = {(at, False): hardest_cut(by_class[0], at) for at in signal_efficiencies}
        self._cuts |= {(at, True): hardest_cut(by_class[1], at) for at in mistags}
        # examples that pass as many of the different cuts are summed together
        self._different = sorted({cut for cut in self._cuts.values() if cut is not None})
        # of weights and of squared weights
        self._sums = np.zeros((2, len(self.axes), len(self._different) + 1, _BINS))
        self._examples, self._left_out = 0, np.zeros(len(self.axes), np.int64)
        for block in test.blocks():
            self._add(block.select(block.label == self._pair[1]))

    def _bin(self, block: Scored) -> npt.NDArray[np.int64]:
        signal, background = block.probabilities(MODEL)[:, self._pair].T
        return score_bin(signal, background)

    def _variables(self, block: Scored) -> tuple[Doubles, Doubles, Doubles]:
        """Observers [n, n_observers], scores [n] and weights [n] of the examples of the background."""
        block = block.select(block.label == self._pair[1])
        score = discriminant(block.probabilities(MODEL), self._pair[0], self._pair[1:])
        observers = np.stack([block.observer(text) for text in self._texts], axis=1).astype(np.float64)
        return observers, score, block.weight.astype(np.float64)

    def _add(self, block: Scored) -> None:
        n_passed = np.searchsorted(self._different, self._bin(block), side="right")
        weight = block.weight.astype(np.float64)
        self._examples += len(block)
        for index, (text, axis) in enumerate(zip(self._texts, self.axes, strict=True)):
            values = block.observer(text)
            finite = np.isfinite(values)
            place = n_passed[finite] * _BINS + axis.bin_of(values[finite])
            for sums, terms in zip(self._sums, (weight, weight**2), strict=True):
                sums[index] += np.bincount(place, terms[finite], sums[index].size).reshape(sums[index].shape)
            self._left_out[index] += int((~finite).sum())

    def _passing(self, index: int, cut: int) -> Doubles:
        """Sums of weights and of squared weights [2, n_bins] of an observer."""
        return self._sums[:, index, self._different.index(cut) + 1 :, : self.axes[index].bins].sum(axis=1)

    def _all(self, index: int) -> Doubles:
        return self._sums[:, index, :, : self.axes[index].bins].sum(axis=1)

    def distributions(self, index: int) -> list[tuple[float | None, Doubles]]:
        """Sums of weights and of their squares [2, n_bins], of all examples and of those that pass, by background efficiency."""
        cuts = ((at, cut) for (at, is_mistag), cut in self._cuts.items() if is_mistag and cut is not None)
        return [(None, self._all(index)), *((at, self._passing(index, cut)) for at, cut in cuts)]

    def result(self, index: int) -> Sculpting:
        """Of one observer."""
        finite = np.isfinite(self._observers[:, index])
        correlation = distance_correlation(self._observers[finite, index], self._score[finite], weight=self._weight[finite])
        return Sculpting(
            examples=self._examples,
            left_out=int(self._left_out[index]),
            cuts=tuple(self._cut(index, at, is_mistag) for at, is_mistag in self._cuts),
            distance_correlation=correlation.value,
            if_independent=correlation.if_independent,
        )

    def _cut(self, index: int, at: float, is_mistag: bool) -> SculptingCut:
        cut = self._cuts[at, is_mistag]
        threshold: float | None = None
        efficiencies: list[float | None] = [None, None]
        divergence = Divergence(Estimate(None, None), 0.0)
        if cut is not None:
            passing = self._passing(index, cut)
            failing = self._all(index) - passing
            divergence = jensen_shannon(
                passing[0], failing[0], first_variance=passing[1], second_variance=failing[1], seed=self._seed
            )
            threshold, efficiencies = lower_edge(cut), [_share(sums, cut) for sums in self._scores]
        return SculptingCut(
            at=at,
            is_mistag=is_mistag,
            threshold=threshold,
            signal_efficiency=efficiencies[0],
            background_efficiency=efficiencies[1],
            divergence=Figure(**asdict(divergence.value)),
            if_same=divergence.if_same,
        )


def _share(sums: Doubles, cut: int) -> float | None:
    """The efficiency of a cut."""
    total = float(sums.sum())
    return float(sums[cut:].sum()) / total if total > 0 else None
