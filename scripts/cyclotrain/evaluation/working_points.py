"""Thresholds of the score at declared shares of the background, and the files that an analysis takes them from."""

from collections.abc import Iterator, Mapping

from cyclotrain.config.evaluation import EvaluationConfig
from cyclotrain.contract.results import MODEL, Cut, Figure, MistagCuts
from cyclotrain.evaluation.as_results import figure
from cyclotrain.evaluation.observers import ObserverStudy
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.evaluation.score_cells import Comparison, Key, Sample
from cyclotrain.metrics.binned_efficiency import bin_of
from cyclotrain.metrics.roc import Cells, signal_efficiencies


def mistag_cuts(
    predictions: Predictions, sample: Sample, settings: EvaluationConfig, *, cells: Mapping[Key, Cells], study: ObserverStudy
) -> tuple[MistagCuts, ...]:
    """The cuts on the model's score: of the signal against each background, and against the rest if there are several.

    cells: of these comparisons; those of bins of an observer take one pass over the split.
    """
    contract, observer, mistags = study.contract, settings.working_points.observer, settings.working_points.mistag
    rest = [one for one in Comparison.with_rest(contract) if one.signal == contract.signal_index]
    comparisons, bins = [*Comparison.with_each(contract), *rest], study.bins(observer)
    in_bins = {one: [sample.gathered(one, MODEL) for _ in bins] for one in comparisons}
    if observer and bins:
        for block in predictions.blocks():
            bin_of_example = bin_of(study.values(block, observer), study.edges[observer])
            for comparison, of_comparison in in_bins.items():
                scores = comparison.scores(block, MODEL)
                for index, gathered in enumerate(of_comparison):
                    gathered.add(scores.select(bin_of_example[scores.rows] == index))
    return tuple(
        MistagCuts(
            background=comparison.background_name(contract),
            cuts=tuple(_cuts(cells[comparison, MODEL], mistags, seed=contract.seed)),
            observer=observer if bins else None,
            in_bins=tuple(
                cut.model_copy(update={"low": low, "high": high})
                for (low, high), gathered in zip(bins, in_bins[comparison], strict=True)
                for cut in _cuts(gathered.cells, mistags, seed=contract.seed)
            ),
        )
        for comparison in comparisons
    )


def _cuts(cells: Cells, mistags: Mapping[str, float], *, seed: int) -> Iterator[Cut]:
    """One for each mistag rate, by its name; the replicas are the same for all."""
    at_mistags = signal_efficiencies(cells, list(mistags.values()), seed=seed) if cells.is_measurable else None
    for number, (name, mistag) in enumerate(mistags.items()):
        index = cells.cut_at_background(mistag) if at_mistags else None
        if at_mistags is None or index is None:
            none = Figure(value=None)
            yield Cut(
                name=name, mistag=mistag, threshold=None, background_efficiency=none, signal_efficiency=none, at_mistag=none
            )
            continue
        background, signal = (cells.efficiencies(which).estimate(index) for which in (cells.background, cells.signal))
        yield Cut(
            name=name,
            mistag=mistag,
            threshold=cells.threshold_at(index),
            background_efficiency=figure(background),
            signal_efficiency=figure(signal),
            at_mistag=figure(at_mistags.estimate(number)),
        )
