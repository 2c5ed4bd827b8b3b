"""Thresholds of the score at declared shares of the background, and the files that an analysis takes them from."""

from collections.abc import Iterator, Mapping

from cyclotrain.config.evaluation import EvaluationConfig
from cyclotrain.contract.results import MODEL, Cut, Figure, MistagCuts
from cyclotrain.evaluation.as_results import figure
from cyclotrain.evaluation.observers import ObserverStudy
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.evaluation.score_cells import Comparison, Gathered, Key, Sample
from cyclotrain.metrics.binned_efficiency import bin_of
from cyclotrain.metrics.roc import Cells

_Bins = list[tuple[float, float]]


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
            cuts=tuple(_cut(cells[comparison, MODEL], name, mistag) for name, mistag in mistags.items()),
            observer=observer if bins else None,
            in_bins=tuple(_cuts_in_bins(mistags, bins, in_bins[comparison])),
        )
        for comparison in comparisons
    )


def _cuts_in_bins(mistags: Mapping[str, float], bins: _Bins, gathered: list[Gathered]) -> Iterator[Cut]:
    for name, mistag in mistags.items():
        for (low, high), in_bin in zip(bins, gathered, strict=True):
            yield _cut(in_bin.cells, name, mistag).model_copy(update={"low": low, "high": high})


def _cut(cells: Cells, name: str, mistag: float) -> Cut:
    index = cells.cut_at_background(mistag) if cells.is_measurable else None
    if index is None:
        nothing = Figure(value=None)
        return Cut(name=name, mistag=mistag, threshold=None, background_efficiency=nothing, signal_efficiency=nothing)
    background, signal = (cells.efficiencies(which).estimate(index) for which in (cells.background, cells.signal))
    return Cut(
        name=name,
        mistag=mistag,
        threshold=cells.threshold_at(index),
        background_efficiency=figure(background),
        signal_efficiency=figure(signal),
    )
