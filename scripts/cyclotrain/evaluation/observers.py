"""What the cuts at the declared signal efficiencies keep in bins of the observers."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cyclotrain.config.evaluation import EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import ObserverBins, ObserverEfficiency, Points
from cyclotrain.evaluation.as_results import known
from cyclotrain.evaluation.predictions import Predictions, Scored
from cyclotrain.evaluation.score_cells import Key, Sample
from cyclotrain.metrics.binned_efficiency import BinnedSums, bin_of
from cyclotrain.metrics.efficiency import Shares
from cyclotrain.metrics.response import equal_bins
from cyclotrain.metrics.roc import Cells

_BINS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObserverStudy:
    """The observers that the config declares, with the edges of their bins: none for one without two different values."""

    contract: Contract
    settings: EvaluationConfig
    edges: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, sample: Sample, contract: Contract, settings: EvaluationConfig) -> Self:
        """Edges of the config, or ten bins with about the same number of examples of a sample in each."""
        edges = {}
        for observer in contract.observers:
            bins = equal_bins(sample.examples.observer(observer.expression), _BINS)
            of_sample = (*(low for low, _ in bins), bins[-1][1]) if bins else ()
            edges[observer.name] = tuple(settings.bins.get(observer.name, of_sample))
        return cls(contract, settings, edges)

    def values(self, block: Scored, name: str) -> npt.NDArray[np.float32]:
        """Those of an observer [n], by its name."""
        (expression,) = (observer.expression for observer in self.contract.observers if observer.name == name)
        return block.observer(expression)

    def bins(self, name: str | None) -> list[tuple[float, float]]:
        """The lower and the upper edge of each bin; none without an observer."""
        return list(pairwise(self.edges[name])) if name else []

    def measure(self, predictions: Predictions, cells: Mapping[Key, Cells]) -> dict[str, Any]:
        """`observer_bins` and `observers` of Curves, for each comparison and scorer; one pass over the split."""
        efficiencies = sorted(self.settings.signal_efficiencies, reverse=True)
        # the loosest first
        thresholds = {key: [one.cut_at_signal(at) for at in efficiencies] for key, one in cells.items() if one.is_measurable}
        sums: dict[tuple[str, Key, bool], BinnedSums] = {}
        nothing = np.zeros((len(self.contract.classes), 1), np.int64)
        counts = dict.fromkeys(self.edges, nothing)
        for block in predictions.blocks() if self.edges else ():
            for name, edges in self.edges.items():
                counts[name] = counts[name] + _counts(block, self.values(block, name), edges)
            for key, cuts in thresholds.items():
                scores = key[0].scores(block, key[1])
                for name, is_signal in product((name for name, edges in self.edges.items() if edges), (True, False)):
                    chosen = scores.select(scores.is_signal == is_signal)
                    values, edges, index = self.values(block, name)[chosen.rows], self.edges[name], (name, key, is_signal)
                    added = BinnedSums.of(values, chosen.score, weight=chosen.weight, edges=edges, thresholds=cuts)
                    sums[index] = sums[index] + added if index in sums else added
        efficiencies_in_bins = []
        for name, key, is_signal in sums:
            if is_signal:
                signal, background = (sums[name, key, chosen].efficiencies() for chosen in (True, False))
                for cut, (efficiency, threshold) in enumerate(zip(efficiencies, thresholds[key], strict=True)):
                    efficiencies_in_bins.append(
                        ObserverEfficiency(
                            observer=name,
                            scorer=key[1],
                            background=key[0].background_name(self.contract) or "",
                            signal_efficiency=efficiency,
                            threshold=threshold,
                            signal=_points(signal, cut),
                            backgrounds=_points(background, cut),
                        )
                    )
        return {
            "observer_bins": {name: self._described(name, counts[name]) for name in self.edges},
            "observers": tuple(efficiencies_in_bins),
        }

    def _described(self, name: str, counts: npt.NDArray[np.int64]) -> ObserverBins:
        """The bins of an observer, with the counts [classes, bins + 2] of examples in bins, outside and not finite."""
        (label,) = (observer.label for observer in self.contract.observers if observer.name == name)
        outside, not_finite = counts[:, -2:].sum(axis=0).tolist()
        if not_finite:
            _log.warning("observer '%s' is not finite for %d of %d test examples: they are in no bin",
                         name, not_finite, counts.sum())  # fmt: skip
        if not self.edges[name]:
            _log.warning("observer '%s' has no two different finite values in the test split, so there are no bins of it", name)
        in_bins = {class_name: tuple(row[:-2].tolist()) for class_name, row in zip(self.contract.classes, counts, strict=True)}
        return ObserverBins(label=label, edges=self.edges[name], examples=in_bins, outside=outside, not_finite=not_finite)


def _counts(block: Scored, values: npt.NDArray[np.float32], edges: tuple[float, ...]) -> npt.NDArray[np.int64]:
    """The numbers of examples [classes, bins + 2] by class in each bin, outside of the bins, and without a finite value."""
    n_classes, n_slots = len(block.contract.classes), max(len(edges) - 1, 0) + 2
    return np.bincount(block.label * n_slots + bin_of(values, edges), minlength=n_classes * n_slots).reshape(n_classes, n_slots)


def _points(shares: Shares, cut: int) -> Points:
    return Points(value=known(shares.value[:, cut]), uncertainty=known(shares.uncertainty[:, cut]))
