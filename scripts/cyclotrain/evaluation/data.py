"""Recorded data against simulation: inputs, observers and scores."""

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from cyclotrain.contract import Contract
from cyclotrain.contract.results import (
    MODEL,
    OBSERVER,
    SCORE,
    ChiSquareTest,
    Comparison,
    DataComparison,
    KolmogorovTest,
)
from cyclotrain.core.errors import InputError
from cyclotrain.data.batches import Batches
from cyclotrain.evaluation.features import BATCH, Axes, Features, checked_sample, fitting_axes, iterate
from cyclotrain.evaluation.predictions import Predictions, Scored
from cyclotrain.metrics.chi_square import chi_square
from cyclotrain.metrics.distributions import Axis, FineHistograms, Histograms
from cyclotrain.metrics.kolmogorov import kolmogorov_smirnov_of_sums
from cyclotrain.metrics.shapes import Shape, compare_shapes
from cyclotrain.runtimes.sessions import run

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_SCORE_BINS = 40
_log = logging.getLogger(__name__)
Floats = npt.NDArray[np.floating]


def compare_data(
    contract: Contract, shards: Sequence[str], predictions: Predictions, *, data: Sequence[str], session: "InferenceSession"
) -> DataComparison:
    """Compare data, by their shards, with the test split of all classes, in one pass over each and bounded memory.

    The simulation has the physics weights and is normalised to data, quantity by quantity, so only shapes are compared.
    predictions: of the test split; session: of the same model, for data.

    Raises InputError if a branch is jagged in data and flat in simulation, or the reverse, or if no data are selected.
    """
    start = time.perf_counter()
    columns = _Columns(contract, predictions)
    histograms = _Histograms(contract, fitting_axes(contract, shards), columns)
    for examples in iterate(contract, shards, "test"):
        for batch in Batches(examples, contract.layout, BATCH):
            histograms.add_features(batch.branches, batch.label.numpy(), batch.weight.numpy())
    for block in predictions.blocks():
        histograms.add_columns(columns.of_simulation(block), block.label, block.weight)
    counts: dict[str, int] = {}
    as_data = len(contract.groups)
    for shard in data:
        sample = checked_sample(shard, contract.layout)
        # all of it, whatever fold tests the event, with the weight 1
        as_they_are = dataclasses.replace(contract, samples={sample: {"normalisation": 1.0}}, fold=None)
        counts.setdefault(sample, 0)
        for examples in iterate(as_they_are, [shard], "test"):
            counts[sample] += len(examples)
            batches = Batches(examples, contract.layout, BATCH)
            for rows in torch.arange(len(examples)).split(BATCH):
                batch = batches.gather(rows)
                group, weight = np.full(len(rows), as_data), batch.weight.numpy()
                histograms.add_features(batch.branches, group, weight)
                answers = run(session, batch.branches)
                histograms.add_columns(columns.of(examples.observers[rows.numpy()], answers), group, weight)
    if empty := [sample for sample, n in counts.items() if not n]:
        raise InputError(f"samples.{empty[0]}: no data pass the selection")
    compared = list(histograms.comparisons())
    absent = tuple(one.text for one in compared if one.set_name == OBSERVER and one.non_finite_data == 1)
    comparison = DataComparison(
        examples=counts, absent=absent, comparisons=tuple(one for one in compared if one.text not in absent)
    )
    n = sum(counts.values())
    _log.info("%d data, %d quantities in %.1f s", n, len(comparison.comparisons), time.perf_counter() - start)
    return comparison


class _Columns:
    """What has one value an example and is no feature: the declared observers, and the scores.

    Of two classes, only the probability of the signal: the other is 1 minus it.
    """

    def __init__(self, contract: Contract, predictions: Predictions) -> None:
        probabilities = [contract.signal_index] if len(contract.classes) == 2 else range(len(contract.classes))
        self._scores = [*probabilities, *range(len(contract.classes), len(contract.columns))]
        self._observers = [contract.layout.observers.index(one.expression) for one in contract.observers]
        names = [(OBSERVER, one.name, one.label) for one in contract.observers]
        scores = [contract.columns[index] for index in self._scores]
        titles = [f"Probability of {name}" if name in contract.classes else name for name in scores]
        self.names = [*names, *((SCORE, name, title) for name, title in zip(scores, titles, strict=True))]
        first = self.of_simulation(next(predictions.blocks()))
        class_columns = {len(names) + column for column, index in enumerate(self._scores) if index < len(contract.classes)}
        self.axes = [
            Axis(0.0, 1.0, _SCORE_BINS) if column in class_columns else Axis.of(first[:, column])
            for column in range(len(self.names))
        ]

    def of(self, observers: Floats, answers: Floats) -> Floats:
        """The values [n, n_columns]."""
        return np.concatenate([observers[:, self._observers], answers[:, self._scores]], axis=1)

    def of_simulation(self, scored: Scored) -> Floats:
        """The same of examples with predictions."""
        return self.of(scored.observers, scored.answers[MODEL])


class _Histograms:
    """Of all quantities, by class, and of data as one more group."""

    def __init__(self, contract: Contract, axes: Axes, columns: _Columns) -> None:
        groups = len(contract.groups) + 1
        self._contract, self._columns, self._features = contract, columns, Features(contract)
        self._flat = {name: FineHistograms(axes[name], groups) for name, s in contract.layout.sets.items() if not s.is_jagged}
        self._jagged = {name: Histograms(axes[name], groups) for name, s in contract.layout.sets.items() if s.is_jagged}
        self._others = FineHistograms(columns.axes, groups)

    def add_features(self, branches: dict[str, torch.Tensor], group: npt.NDArray[np.integer], weight: Floats) -> None:
        for name, of_set in self._features.of(branches).items():
            if name in self._flat:
                self._flat[name].add(of_set.values, group=group, weight=weight)
            else:
                self._jagged[name].add(of_set.values, example=of_set.example, group=group, weight=weight)

    def add_columns(self, values: Floats, group: npt.NDArray[np.integer], weight: Floats) -> None:
        self._others.add(values, group=group, weight=weight)

    def comparisons(self) -> Iterator[Comparison]:
        """Features, then observers and scores."""
        for name, layout in self._contract.layout.sets.items():
            for column, text in enumerate(layout.features):
                if name in self._flat:
                    yield self._of_flat(self._flat[name], column, (name, text, text))
                else:
                    yield self._of_jagged(self._jagged[name], column, (name, text, text))
        for column, names in enumerate(self._columns.names):
            yield self._of_flat(self._others, column, names)

    def _of_flat(self, filled: FineHistograms, column: int, names: tuple[str, str, str]) -> Comparison:
        counts, squares = (filled.coarse(sums, column) for sums in (filled.counts, filled.squares))
        simulation, variance = counts[:-1].sum(axis=0), squares[:-1].sum(axis=0)
        test = chi_square(simulation, counts[-1], first_variance=variance, second_variance=squares[-1])
        fine, fine_squares = filled.counts[:, column], filled.squares[:, column]
        kolmogorov = kolmogorov_smirnov_of_sums(
            fine[:-1].sum(axis=0),
            fine[-1],
            first_squares=float(fine_squares[:-1].sum()),
            second_squares=float(fine_squares[-1].sum()),
        )
        return self._compared(
            filled,
            column,
            names,
            counts=counts,
            variances=(variance, squares[-1]),
            tests=(
                ChiSquareTest(value=test.value, degrees=test.degrees, p_value=test.p_value),
                KolmogorovTest(**kolmogorov._asdict()),
            ),
        )

    def _of_jagged(self, filled: Histograms, column: int, names: tuple[str, str, str]) -> Comparison:
        shapes = [of_group[column] for of_group in filled.shapes]
        simulation = sum(shapes[:-1], Shape.zeros(filled.axes[column].bins))
        return self._compared(
            filled,
            column,
            names,
            counts=np.stack([shape.counts for shape in shapes]),
            variances=(simulation.squares, shapes[-1].squares),
            tests=(ChiSquareTest(**compare_shapes(simulation, shapes[-1])._asdict()), None),
        )

    def _compared(
        self,
        filled: FineHistograms | Histograms,
        column: int,
        names: tuple[str, str, str],
        *,
        counts: Floats,
        variances: tuple[Floats, Floats],
        tests: tuple[ChiSquareTest, KolmogorovTest | None],
    ) -> Comparison:
        """counts: [n_groups, bins]; variances: of simulation and data."""
        total = float(counts[:-1].sum())
        scale = float(counts[-1].sum()) / total if total > 0 else 0.0
        entries, non_finite = filled.entries[:, column], filled.non_finite[:, column]
        set_name, text, label = names
        return Comparison(
            set_name=set_name,
            text=text,
            label=label,
            edges=tuple(filled.axes[column].edges.tolist()),
            simulation={name: _short(scale * own) for name, own in zip(self._contract.groups, counts[:-1], strict=True)},
            uncertainty=_short(scale * np.sqrt(variances[0])),
            data=_short(counts[-1]),
            data_uncertainty=_short(np.sqrt(variances[1])),
            chi_square=tests[0],
            kolmogorov=tests[1],
            non_finite_simulation=float(non_finite[:-1].sum() / max(entries[:-1].sum(), 1)),
            non_finite_data=float(non_finite[-1] / max(entries[-1], 1)),
        )


def _short(values: Floats) -> tuple[float, ...]:
    """With six digits."""
    return tuple(float(f"{value:.6g}") for value in values.tolist())
