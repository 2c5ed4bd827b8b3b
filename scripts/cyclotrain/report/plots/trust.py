"""Whether the scores can be trusted: training against test split, calibration, sculpting."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mplhep
import numpy as np

from cyclotrain.contract.results import (
    Curves,
    Evaluation,
    Figure,
    ObserverHistogram,
    Overtraining,
    ScoreHistogram,
    Sculpting,
    SculptingCut,
)
from cyclotrain.metrics.chi_square import chi_square
from cyclotrain.report.plots.style import COLOURS, figure
from cyclotrain.report.tables import Column, Table, binned

_FEWEST = 20  # effective entries of a distribution that is drawn
_MARKERS = ("o", "s", "^", "v", "D", "P")
Paths = Sequence[str | Path]


def scores(evaluation: Evaluation, curves: Curves, paths: Paths) -> Iterator[Table]:
    """The signal probability by class, training split filled and test split as points; below, the pulls between the two."""
    few = len(evaluation.classes) <= 3
    with figure(paths, height=7.5 if few else 9.5, heights=(3, 1)) as (axes, lower):
        _share_axis(axes, lower)
        lower.axhline(0, color="grey", linewidth=1)
        for index, name in enumerate(evaluation.classes):
            train, test = (_of(curves.scores, name, split) for split in ("train", "test"))
            colour, edges = COLOURS[index % len(COLOURS)], np.array(train.edges)
            errors = np.sqrt(test.variances)
            mplhep.histplot(
                (train.values, edges), ax=axes, histtype="fill", alpha=0.35, yerr=False, color=colour, label=f"{name}, training"
            )
            mplhep.histplot(
                (test.values, edges), ax=axes, histtype="errorbar", yerr=errors, markersize=6, color=colour,
                label=f"{name}, test: {_tests(evaluation.overtraining[name])}",
            )  # fmt: skip
            tested = chi_square(
                np.array(train.values), np.array(test.values),
                first_variance=np.array(train.variances), second_variance=np.array(test.variances),
            )  # fmt: skip
            low, high = edges[tested.first_bins], edges[np.append(tested.first_bins[1:], len(edges) - 1)]
            lower.errorbar((low + high) / 2, tested.pulls, xerr=(high - low) / 2, fmt="o", markersize=4, color=colour)
            yield from _tables_of_scores(evaluation, train, test)
            yield Table(
                name=f"pulls of {name}",
                columns=(
                    Column(
                        name=f"probability of {evaluation.signal}", values=tuple(((low + high) / 2).tolist()),
                        low=tuple(low.tolist()), high=tuple(high.tolist()), is_independent=True,
                    ),
                    Column(name="(test - training) / uncertainty", values=tuple(tested.pulls.tolist())),
                ),
            )  # fmt: skip
        axes.set(ylabel="Fraction of events", yscale="log", xlim=(0, 1))
        axes.set_ylim(top=axes.get_ylim()[1] * 1.5)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=12 if few else 8)
        largest = max(3.5, 1.15 * max((abs(y) for line in lower.lines for y in line.get_ydata()), default=0.0))
        lower.set(xlabel=f"Probability of {evaluation.signal}", ylabel="Pull", ylim=(-largest, largest))
        lower.grid(alpha=0.3, axis="y")


def _share_axis(axes: Any, lower: Any) -> None:
    lower.sharex(axes)
    axes.tick_params(labelbottom=False)


def _of(histograms: Sequence[ScoreHistogram], name: str, split: str) -> ScoreHistogram:
    return next(one for one in histograms if (one.class_name, one.split) == (name, split))


def _tests(test: Overtraining) -> str:
    """The two tests of a class in words."""
    smirnov = "none" if test.p_value is None else f"{test.p_value:.2g}"
    chi = "none" if test.chi2_p_value is None else f"{test.chi2_p_value:.2g}"
    return f"KS p = {smirnov}, χ²/ndf = {test.chi_square:.1f}/{test.degrees}, p = {chi}"


def _tables_of_scores(evaluation: Evaluation, *histograms: ScoreHistogram) -> Iterator[Table]:
    for histogram in histograms:
        uncertainty = tuple(np.sqrt(histogram.variances).tolist())
        yield Table(
            name=f"scores of {histogram.class_name}, {histogram.split} split",
            columns=(
                binned(f"probability of {evaluation.signal}", histogram.edges),
                Column(name="fraction of events", values=histogram.values, uncertainty=uncertainty),
            ),
        )


def sculpting(evaluation: Evaluation, curves: Curves, paths: Paths, *, observer: str, background: str) -> Iterator[Table]:
    """An observer of a background, of all examples and after cuts at background efficiencies; below, the ratio of the two."""
    drawn = [one for one in curves.sculpting if (one.observer, one.background) == (observer, background)]
    measured = evaluation.sculpting[observer][background]
    cuts = {cut.at: cut for cut in measured.cuts if cut.is_mistag}
    yield from (_table_of_observer(one) for one in drawn)
    with figure(paths, height=7.5, heights=(2.2, 1)) as (axes, lower):
        _share_axis(axes, lower)
        lower.axhline(1, color="grey", linewidth=1)
        axes.set(ylabel="Fraction of events")
        lower.set(xlabel=observer, ylabel="Cut / no cut")
        if not drawn:
            axes.text(0.5, 0.5, f"no test example of {background} has {observer}", transform=axes.transAxes, ha="center")
            return
        everything, edges = np.array(drawn[0].values), np.array(drawn[0].edges)
        middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        mplhep.histplot((everything, edges), ax=axes, histtype="fill", alpha=0.3, yerr=False, color="grey", label="no cut")
        highest, top = float(everything.max()), 2.0
        for histogram, colour, marker in zip(drawn[1:], COLOURS, _MARKERS, strict=False):
            values, errors = np.array(histogram.values), np.sqrt(histogram.variances)
            style = {"fmt": marker, "markersize": 5, "color": colour}
            filled = values != 0
            label = _divergence(evaluation, background, cuts[histogram.at_mistag or 0.0])
            if sum(histogram.variances) * _FEWEST > 1:  # the values sum to 1
                axes.errorbar([], [], label=f"{label}; too few to draw", **style)
                continue
            axes.errorbar(middle[filled], values[filled], yerr=errors[filled], xerr=half[filled], label=label, **style)
            highest = max(highest, float(np.max(values[errors < 0.5 * values], initial=0.0)))
            filled &= everything > 0
            ratio, error = (part[filled] / everything[filled] for part in (values, errors))
            lower.errorbar(middle[filled], ratio, yerr=error, xerr=half[filled], **style)
            top = max(top, 1.1 * float(np.max((ratio + error)[error < 0.5 * ratio], initial=0.0)))
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.4 * highest))
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=11, title=_title(measured, background), title_fontsize=12
        )
        lower.set(xlabel=drawn[0].label, ylim=(0, top))
        lower.grid(alpha=0.3, axis="y")


def _title(measured: Sculpting, background: str) -> str:
    """What holds for all cuts."""
    left_out = f"; {measured.left_out} of {measured.examples} examples left out" if measured.left_out else ""
    value, chance = measured.distance_correlation, measured.if_independent
    correlation = "" if value is None else f"\ndistance correlation with the score {value:.2g} ({chance:.1g} by chance)"
    return f"{background}, test split{left_out}{correlation}"


def _table_of_observer(histogram: ObserverHistogram) -> Table:
    uncertainty = tuple(np.sqrt(histogram.variances).tolist())
    cut = "no cut" if histogram.at_mistag is None else f"background efficiency {histogram.at_mistag:g}"
    return Table(
        name=f"{histogram.observer} of {histogram.background}, {cut}",
        columns=(
            binned(histogram.label, histogram.edges),
            Column(name="fraction of events", values=histogram.values, uncertainty=uncertainty),
        ),
    )


def _divergence(evaluation: Evaluation, background: str, cut: SculptingCut) -> str:
    signal = "" if cut.signal_efficiency is None else f", ε({evaluation.signal}) = {cut.signal_efficiency:.3g}"
    return f"ε({background}) = {cut.at:g}{signal}: JSD {_measured(cut.divergence)} ({cut.if_same:.1g} by chance)"


def _measured(figure: Figure) -> str:
    """With as many digits as the uncertainty has."""
    if figure.value is None:
        return "none"
    if not figure.uncertainty:
        return f"{figure.value:.2g}"
    digits = max(0, -math.floor(math.log10(figure.uncertainty)))
    return f"{figure.value:.{digits}f} ± {figure.uncertainty:.{digits}f}"


def calibration(evaluation: Evaluation, paths: Paths) -> Iterator[Table]:
    """The share of each class against its mean probability, in bins of it."""
    with figure(paths) as axes:
        axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1.5, label="calibrated")
        for index, (name, measured) in enumerate(evaluation.calibration.items()):
            error = measured.error
            chance = f" ({measured.if_calibrated:.1g} by chance)"
            label = name if error.value is None else f"{name}, error {_measured(error)}{chance}"
            mean = Column(
                name=f"mean probability of {name}", values=tuple(part.probability for part in measured.bins), is_independent=True
            )
            share = Column(
                name=f"share of {name}",
                values=tuple(part.fraction.value for part in measured.bins),
                uncertainty=tuple(part.fraction.uncertainty for part in measured.bins),
            )
            axes.errorbar(
                mean.values, share.values, yerr=share.uncertainty,
                fmt="o-", markersize=6, capsize=3, linewidth=1, color=COLOURS[index % len(COLOURS)], label=label,
            )  # fmt: skip
            yield Table(name=f"calibration of {name}", columns=(mean, share))
        axes.set(xlabel="Mean probability in the bin", ylabel="Share that is of the class", xlim=(0, 1), ylim=(0, 1.05))
        axes.legend(loc="upper left", fontsize=13 if len(evaluation.calibration) <= 4 else 9)
        axes.grid(alpha=0.3)
