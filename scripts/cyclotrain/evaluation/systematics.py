"""What variations of the simulation do to scores, ROC curves and working points."""

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cyclotrain.config.systematics import SystematicConfig, VariationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL, BackgroundShift, PointShift, Systematics, Variation
from cyclotrain.core.errors import InputError
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import Examples, totals_by_class
from cyclotrain.data.variations import with_branches
from cyclotrain.evaluation.as_results import figure
from cyclotrain.evaluation.features import BATCH, checked_sample, iterate
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.evaluation.score_cells import Comparison, Sample
from cyclotrain.metrics.roc import discriminant, quantile_edges
from cyclotrain.metrics.shifts import ScoreSums, Shifts, replica_counts, thinned
from cyclotrain.runtimes.sessions import predict

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_BINS = 20  # of the score that is drawn: few, because events that migrate between bins make narrow ones noisy
_log = logging.getLogger(__name__)
Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Nominal:
    """The shards of the samples, what the model answers for their test split, and a session of the same model for variations."""

    shards: Sequence[str]
    predictions: Predictions
    session: "InferenceSession"


def measure_systematics(
    contract: Contract,
    nominal: Nominal,
    *,
    systematics: Mapping[str, SystematicConfig],
    others: Mapping[str, Sequence[str]],
    signal_efficiencies: Sequence[float],
) -> Systematics:
    """Compare each variation with the nominal test split, in one pass over each and bounded memory.

    others: the shards of the samples that are used instead of nominal ones. Of these, the test split counts, with the nominal
    sample's sum of weights, so that only shapes are varied. Varied branches do not change which events were selected.

    Uncertainties are from replicas that are drawn by event (metrics/shifts.py): events that are in both samples fluctuate
    together.

    Raises InputError for a factor on the weight that is not finite, and for a sample without weight in the test split.
    """
    start = time.perf_counter()
    edges = _edges(contract, nominal.predictions)
    as_it_is = _Sums(contract, edges)
    varied = [
        _Varied(_Sums(contract, edges), variation, systematic, direction)
        for systematic, pair in systematics.items()
        for direction, variation in pair.variations.items()
    ]
    first = 0
    for shard in nominal.shards:
        sample = checked_sample(shard, contract.layout)
        for examples in iterate(contract, [shard], "test"):
            probabilities = nominal.predictions.part(first, len(examples)).probabilities(MODEL)
            first += len(examples)
            counts = replica_counts(examples.event_hash, contract.seed)
            as_it_is.add(probabilities, examples, counts=counts)
            for one in varied:
                one.add_nominal(probabilities, examples, counts=counts, sample=sample, session=nominal.session)
    for one in varied:
        for instead_of, other in one.variation.samples.items():
            for examples in _of_other_sample(contract, instead_of, others[other], where=f"{one.where}.samples"):
                counts = replica_counts(examples.event_hash, contract.seed)
                one.sums.add(_answers(contract, examples, nominal.session), examples, counts=counts)
    assert contract.signal  # the config has classes
    result = Systematics(
        signal=contract.signal,
        edges=tuple(np.linspace(0, 1, _BINS + 1).tolist()),
        nominal=as_it_is.shares(),
        uncertainty=as_it_is.uncertainty(),
        variations=tuple(one.result(as_it_is, signal_efficiencies) for one in varied),
    )
    _log.info("%d variations of %d test examples in %.1f s", len(varied), first, time.perf_counter() - start)
    return result


class _Sums:
    """What is summed of a sample: the scores of each pair of signal and background, and the probability of the signal."""

    def __init__(self, contract: Contract, edges: Mapping[Comparison, Doubles]) -> None:
        self.pairs = {comparison: ScoreSums(own) for comparison, own in edges.items()}
        self.contract = contract
        self._counts, self._squares = (np.zeros((len(contract.classes), _BINS)) for _ in range(2))

    def add(
        self, probabilities: Floats, examples: Examples, *, counts: npt.NDArray[np.uint8], weight: Floats | None = None
    ) -> None:
        """Add examples [n], with counts [REPLICAS, n], and a weight [n] if it is not their own."""
        weights = (examples.weight if weight is None else weight).astype(np.float64)
        for comparison, sums in self.pairs.items():
            rows = np.isin(examples.label, (comparison.signal, *comparison.backgrounds))
            score = discriminant(probabilities[rows], comparison.signal, comparison.backgrounds)
            sums.add(score, examples.label[rows] == comparison.signal, weight=weights[rows], counts=counts[:, rows])
        p_signal = np.nan_to_num(probabilities[:, self.contract.signal_index])
        bins = np.clip((p_signal * _BINS).astype(np.int64), 0, _BINS - 1)
        cell, size = examples.label * _BINS + bins, self._counts.size
        self._counts += np.bincount(cell, weights, size).reshape(self._counts.shape)
        self._squares += np.bincount(cell, weights**2, size).reshape(self._counts.shape)

    def shares(self) -> dict[str, tuple[float, ...]]:
        """Of the probability of the signal, by class; zeros without weight."""
        return self._by_class(self._counts)

    def uncertainty(self) -> dict[str, tuple[float, ...]]:
        """Statistical, of the shares."""
        return self._by_class(np.sqrt(self._squares))

    def _by_class(self, values: Doubles) -> dict[str, tuple[float, ...]]:
        totals = self._counts.sum(axis=1, keepdims=True)
        shares = np.divide(values, totals, where=totals > 0, out=np.zeros_like(values))
        rounded = (tuple(float(f"{share:.6g}") for share in row) for row in shares.tolist())
        return dict(zip(self.contract.classes, rounded, strict=True))


class _Varied:
    """The sums of one variation."""

    def __init__(self, sums: _Sums, variation: VariationConfig, systematic: str, direction: str) -> None:
        self.sums, self.variation, self.where = sums, variation, f"systematics.{systematic}.{direction}"
        self._contract, self._systematic, self._direction = sums.contract, systematic, direction

    def add_nominal(
        self,
        probabilities: Floats,
        examples: Examples,
        *,
        counts: npt.NDArray[np.uint8],
        sample: str,
        session: "InferenceSession",
    ) -> None:
        """Add examples of a nominal sample, varied; nothing if another sample is used instead."""
        if sample in self.variation.samples:
            return
        weight = None
        if self.variation.weight:
            weight = examples.weight * self._factor(self.variation.weight, examples, sample=sample)
        elif self.variation.branches:
            where = f"{self.where}.branches"
            changed = with_branches(examples, self._contract.layout, self.variation.branches, where=where)
            probabilities = _answers(self._contract, changed, session)
        self.sums.add(probabilities, examples, counts=counts, weight=weight)

    def _factor(self, text: str, examples: Examples, *, sample: str) -> Floats:
        factor = examples.observers[:, self._contract.layout.observers.index(text)]
        if bad := int(np.count_nonzero(~np.isfinite(factor))):
            raise InputError(
                f"{self.where}.weight: '{text}' is NaN or infinite for {bad} events of sample '{sample}'; replace the value with "
                "where(...)"
            )
        return factor

    def result(self, nominal: _Sums, signal_efficiencies: Sequence[float]) -> Variation:
        """The shifts from the nominal sums."""
        backgrounds = {}
        for comparison, sums in self.sums.pairs.items():
            name = comparison.background_name(self._contract)
            assert name  # one background a pair
            backgrounds[name] = _shift(Shifts.of(nominal.pairs[comparison], sums), signal_efficiencies)
        kind = "samples" if self.variation.samples else "weight" if self.variation.weight else "branches"
        return Variation.model_validate(
            {
                "systematic": self._systematic,
                "direction": self._direction,
                "kind": kind,
                "backgrounds": backgrounds,
                "shares": self.sums.shares(),
            }
        )


def _shift(shifts: Shifts, signal_efficiencies: Sequence[float]) -> BackgroundShift:
    points = []
    for at in signal_efficiencies:
        shift = shifts.at(at)
        points.append(
            PointShift(at=at, **{field.name: figure(getattr(shift, field.name)) for field in dataclasses.fields(shift)})
        )
    return BackgroundShift(auc=figure(shifts.auc()), points=tuple(points))


def _edges(contract: Contract, predictions: Predictions) -> dict[Comparison, Doubles]:
    """By pair of signal and background, the edges of the cells of its score."""
    examples = Sample.of(predictions, contract).examples
    edges = {}
    for comparison in Comparison.with_each(contract):
        scores = comparison.scores(examples, MODEL)
        edges[comparison] = thinned(quantile_edges(scores.score, scores.is_signal))
    return edges


def _answers(contract: Contract, examples: Examples, session: "InferenceSession") -> Floats:
    """The probabilities [n, n_classes]."""
    batches = Batches(examples, contract.layout, BATCH)
    return predict(session, (batch.branches for batch in batches))[:, : len(contract.classes)]


def _of_other_sample(contract: Contract, instead_of: str, shards: Sequence[str], *, where: str) -> Iterator[Examples]:
    """The test split of a sample, with the sum of weights that the sample has which it is used instead of."""
    nominal = sum(splits["test"]["sum_of_weights"] for splits in contract.samples[instead_of]["by_class"].values())
    names = [checked_sample(shard, contract.layout) for shard in shards]
    totals = [totals_by_class(shard, contract.groups, contract.fold) for shard in shards]
    total = sum(splits["test"]["sum_of_weights"] for by_class in totals for splits in by_class.values())
    if total <= 0:
        raise InputError(f"{where}: '{names[0]}' has the sum of weights {total:g} in the test split; it must be positive")
    scaled = dataclasses.replace(contract, samples={name: {"normalisation": nominal / total} for name in names})
    return iterate(scaled, shards, "test")
