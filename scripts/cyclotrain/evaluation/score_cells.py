"""The test split's examples in cells of scores: the sums that all figures of the classification come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Self

import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Contract
from cyclotrain.evaluation.predictions import Predictions, Scored
from cyclotrain.metrics.roc import Cells, discriminant, quantile_edges

_EXACT = 50_000  # examples of a comparison, above which its scores are summed in cells: 0.4 s of bootstrap on a core
_SAMPLE = 200_000  # examples that give the edges of cells and of bins

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Of examples [m]: score, whether signal, physics weight, and which rows [m] of their block they are."""

    score: Array
    is_signal: Bools
    weight: Array
    rows: npt.NDArray[np.intp]

    def select(self, chosen: Bools) -> "Scores":
        """Those of some, given by a mask [m]."""
        return Scores(self.score[chosen], self.is_signal[chosen], self.weight[chosen], self.rows[chosen])


@dataclass(frozen=True)
class Comparison:
    """A class, the signal, against one other, or against all others: their indices."""

    signal: int
    backgrounds: tuple[int, ...]

    @classmethod
    def with_each(cls, contract: Contract) -> list[Self]:
        """The signal class against each background."""
        signal = contract.signal_index
        return [cls(signal, (index,)) for index in range(len(contract.classes)) if index != signal]

    @classmethod
    def with_rest(cls, contract: Contract) -> list[Self]:
        """Each class against all others; none with two classes, of which that says nothing new."""
        n = len(contract.classes)
        return [cls(index, tuple(i for i in range(n) if i != index)) for index in range(n)] if n > 2 else []

    @classmethod
    def of_backgrounds(cls, contract: Contract) -> list[Self]:
        """The pairs of classes without the signal."""
        others = [index for index in range(len(contract.classes)) if index != contract.signal_index]
        return [cls(first, (second,)) for first, second in combinations(others, 2)]

    def background_name(self, contract: Contract) -> str | None:
        """None for all others."""
        return contract.classes[self.backgrounds[0]] if len(self.backgrounds) == 1 else None

    def scores(self, block: Scored, scorer: str) -> Scores:
        """The examples of these classes in a block: p_signal / (p_signal + sum of p_background)."""
        rows = np.flatnonzero(np.isin(block.label, (self.signal, *self.backgrounds)))
        score = discriminant(block.probabilities(scorer)[rows], self.signal, self.backgrounds)
        return Scores(score, block.label[rows] == self.signal, block.weight[rows].astype(np.float64), rows)


@dataclass
class Gathered:
    """Cells of blocks that are added one after the other; without edges, each score has a cell."""

    edges: Array | None
    _scores: list[Scores] = field(default_factory=list)
    _cells: Cells | None = None

    def add(self, scores: Scores) -> None:
        """Add a block."""
        if self.edges is None:
            self._scores.append(scores)
            return
        cells = Cells.between(self.edges, scores.score, scores.is_signal, weight=scores.weight)
        self._cells = self._cells + cells if self._cells else cells

    @cached_property
    def cells(self) -> Cells:
        """Of all blocks."""
        if self._cells:
            return self._cells
        parts = [(block.score, block.is_signal, block.weight) for block in self._scores]
        score, is_signal, weight = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Cells.exact(score, is_signal, weight=weight)


@dataclass(frozen=True)
class Sample:
    """Some examples of a split, and the number of all of each class."""

    examples: Scored
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Predictions, contract: Contract) -> Self:
        """Drawn at random: about 200,000 examples, in equal parts from the classes, and all of a class that has fewer."""
        n_classes = len(contract.classes)
        labels = (np.bincount(block.label, minlength=n_classes) for block in predictions.blocks())
        counts = np.sum([np.zeros(n_classes, np.int64), *labels], axis=0)
        share = np.minimum(_SAMPLE / n_classes / np.maximum(counts, 1), 1.0)
        random = np.random.default_rng(contract.seed)
        parts = [block.select(random.random(len(block)) < share[block.label]) for block in predictions.blocks()]
        return cls(Scored.concatenated(parts), counts)

    def gathered(self, comparison: Comparison, scorer: str) -> Gathered:
        """To add the blocks of the split to: exact up to 50,000 examples of the classes that are compared."""
        if self.counts[[comparison.signal, *comparison.backgrounds]].sum() <= _EXACT:
            return Gathered(None)
        scores = comparison.scores(self.examples, scorer)
        return Gathered(quantile_edges(scores.score, scores.is_signal))


Key = tuple[Comparison, str]


def cells_by_scorer(
    predictions: Predictions, sample: Sample, comparisons: Mapping[str, Sequence[Comparison]]
) -> dict[Key, Cells]:
    """The cells of each comparison, given by what gives the scores; one pass over the split."""
    keys = [(comparison, scorer) for scorer, of_scorer in comparisons.items() for comparison in of_scorer]
    gathered = {(comparison, scorer): sample.gathered(comparison, scorer) for comparison, scorer in keys}
    for block in predictions.blocks():
        for (comparison, scorer), cells in gathered.items():
            cells.add(comparison.scores(block, scorer))
    return {key: one.cells for key, one in gathered.items()}
