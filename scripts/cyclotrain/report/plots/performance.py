"""What the model tells apart: ROC curves, areas, confusion matrix, efficiencies against observers."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.lines import Line2D

from cyclotrain.contract.results import (
    BOOSTED_TREES,
    MODEL,
    Curves,
    Evaluation,
    Figure,
    MistagCuts,
    ObserverEfficiency,
    Performance,
    Points,
    RocCurve,
    WorkingPoint,
)
from cyclotrain.report.plots.style import COLOURS, LINES, figure
from cyclotrain.report.tables import Column, Table, binned

_NAMES = {MODEL: "exported model", BOOSTED_TREES: "boosted trees"}
_MARKERS = ("o", "s", "^", "v", "D", "P")  # of working points
_SMALLEST_EFFICIENCY = 0.05  # of the signal, that is drawn
Paths = Sequence[str | Path]


def roc(evaluation: Evaluation, curves: Curves, paths: Paths) -> Iterator[Table]:
    """Background rejection against signal efficiency: a panel for each background, a colour for each model.

    With bands of one standard deviation, and the working points.
    """
    panels = {name: [curve for curve in curves.roc if curve.background == name] for name in evaluation.backgrounds}
    performance = {scorer: evaluation.performance[scorer] for scorer in evaluation.performance}
    titles = {name: f"{evaluation.signal} against {name}" for name in panels}
    yield from _rocs(panels, performance, titles, paths)


def roc_against_rest(evaluation: Evaluation, curves: Curves, paths: Paths) -> Iterator[Table]:
    """Rejection of all other classes against the efficiency of a class: a panel for each class, a colour for each model."""
    panels = {name: [curve for curve in curves.against_rest if curve.signal == name] for name in evaluation.classes}
    titles = {name: f"{name} against the rest" for name in panels}
    yield from _rocs(panels, evaluation.against_rest, titles, paths)


def _rocs(
    panels: dict[str, list[RocCurve]], performance: dict[str, dict[str, Performance]], titles: dict[str, str], paths: Paths
) -> Iterator[Table]:
    is_single = len(panels) == 1
    columns, rows = (1, 1) if is_single else (min(3, len(panels)), -(-len(panels) // 3))
    width, height = (7.0, 6.0) if is_single else (4.8 * columns, 4.4 * rows)
    scorers = list(performance)
    with figure(paths, width=width, height=height, columns=columns, heights=[1.0] * rows) as drawn:
        axes_of_panels = np.atleast_1d(drawn).ravel()
        highest = 10.0
        for axes, (name, of_panel) in zip(axes_of_panels, panels.items(), strict=False):
            for curve in of_panel:
                measured = performance[curve.scorer][name]
                highest = max(highest, _roc(axes, curve, measured, style=_style(scorers, curve.scorer)))
                yield from _roc_tables(curve, measured, titles[name])
            if not of_panel:
                axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center")
            axes.set(xlabel=f"{of_panel[0].signal if of_panel else 'Signal'} efficiency", xlim=(0, 1), yscale="log")
            axes.set_ylabel("Background rejection 1/ε")
            axes.legend(
                handles=axes.get_legend_handles_labels()[0], loc="upper right",
                fontsize=13 if is_single else 9.5, title=titles[name], title_fontsize=13 if is_single else 11,
                handlelength=1.2, borderaxespad=0.8,
            )  # fmt: skip
            axes.grid(alpha=0.3)
        room = 10 ** (0.09 * np.log10(highest) * (len(scorers) + 1.5))  # for the legend
        for axes in axes_of_panels[: len(panels)]:
            axes.set_ylim(1, highest * room)
        for axes in axes_of_panels[len(panels) :]:
            axes.set_axis_off()


def _style(scorers: Sequence[str], scorer: str) -> dict[str, str]:
    """A colour for each model, the same in all figures of a run; and a line style where there are more models than colours."""
    index = scorers.index(scorer)
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index // len(COLOURS) % len(LINES)]}


def _roc(axes: Any, curve: RocCurve, performance: Performance, *, style: dict[str, str]) -> float:
    """Draw one curve with its band and its working points; the largest rejection of them."""
    signal, background, uncertainty = (
        np.array(values) for values in (curve.signal_efficiency, curve.background_efficiency, curve.uncertainty)
    )
    # down to where the uncertainty is as large as the efficiency, so that the rejection is not measured; above, it is large only
    # where a few signal examples with low scores decide on the cut
    measured = (background > uncertainty) | (signal > 0.9)
    shown = np.logical_and.accumulate(measured[::-1])[::-1] & (background > 0) & (signal >= _SMALLEST_EFFICIENCY)
    signal, background, uncertainty = signal[shown], background[shown], uncertainty[shown]
    area = performance.auc
    label = _NAMES.get(curve.scorer, curve.scorer)
    label += "" if area.value is None else f", AUC {area.value:.4f}{performance.auc_mark} ± {area.uncertainty:.4f}"
    axes.plot(signal, 1 / background, label=label, linewidth=1.8, **style)
    high = 1 / np.maximum(background - uncertainty, 0.2 * background)
    axes.fill_between(signal, 1 / (background + uncertainty), high, color=style["color"], alpha=0.25, linewidth=0)
    points = [point for point in performance.rejection if point.rejection.value is not None]
    values = [point.rejection.value for point in points]
    axes.errorbar(
        [point.signal_efficiency for point in points], values, yerr=_errors(points), fmt="o", markersize=5, capsize=3,
        color=style["color"],
    )  # fmt: skip
    return float(max([*(1 / background), *(value for value in values if value), 1.0]))


def _roc_tables(curve: RocCurve, performance: Performance, title: str) -> Iterator[Table]:
    name = f"{_NAMES.get(curve.scorer, curve.scorer)}, {title}"
    efficiency, background = f"efficiency of {curve.signal}", curve.background or "the rest"
    yield Table(
        name=f"ROC, {name}",
        columns=(
            Column(name=efficiency, values=curve.signal_efficiency, is_independent=True),
            Column(name=f"efficiency of {background}", values=curve.background_efficiency, uncertainty=curve.uncertainty),
        ),
    )
    points = performance.rejection
    yield Table(
        name=f"working points, {name}",
        columns=(
            Column(name=efficiency, values=tuple(point.signal_efficiency for point in points), is_independent=True),
            Column(
                name=f"rejection of {background}",
                values=tuple(point.rejection.value for point in points),
                uncertainty=tuple(point.rejection.uncertainty for point in points),
            ),
        ),
    )


def _errors(points: Sequence[WorkingPoint]) -> npt.NDArray[np.float64]:
    """Uncertainties [2, n_points], downwards and upwards; on a logarithmic axis one as large as the value has no lower end."""
    values = np.array([point.rejection.value for point in points], np.float64)
    uncertainties = np.array([point.rejection.uncertainty for point in points], np.float64)
    return np.stack([np.minimum(uncertainties, 0.9 * values), uncertainties])


def areas(evaluation: Evaluation, paths: Paths) -> Iterator[Table]:
    """The area under the ROC curve of each pair of classes."""
    classes = evaluation.classes
    of_pairs: dict[frozenset[str], Figure] = {frozenset((pair.first, pair.second)): pair.auc for pair in evaluation.pairs}
    if evaluation.signal:
        of_pairs |= {frozenset((evaluation.signal, name)): one.auc for name, one in evaluation.performance[MODEL].items()}
    missing = Figure(value=None)
    cells = [[of_pairs.get(frozenset((first, second)), missing) for second in classes] for first in classes]
    value, uncertainty = _matrices(cells)
    with np.errstate(divide="ignore"):
        shade = np.log10(np.clip(1 - value, 1e-4, 0.5))  # each step in colour is a factor in 1 - AUC
    below = np.tri(len(classes), k=-1, dtype=bool)
    width, height = _matrix_size(classes)
    with figure(paths, width=width, height=height) as axes:
        axes.imshow(np.where(below, shade, np.nan)[1:, :-1], cmap="Blues_r", vmin=-4, vmax=np.log10(0.5))
        for row, column in np.argwhere(below).tolist():
            text = _with_uncertainty(float(value[row, column]), float(uncertainty[row, column]), 4)
            _cell(axes, row - 1, column, text, is_dark=bool(shade[row, column] < -2.2))
        _class_axes(axes, classes[1:], classes[:-1], xlabel="", ylabel="")
        axes.set_title("AUC of each pair of classes", fontsize=15)
    yield _matrix_table("AUC", classes, value, uncertainty, rows="class", columns="against")


def confusion(evaluation: Evaluation, paths: Paths) -> Iterator[Table]:
    """Shares of each true class by the class of largest probability, in per cent."""
    assert evaluation.confusion  # the figure is for models with classes
    classes = evaluation.classes
    value = np.array(evaluation.confusion.fraction, np.float64)
    uncertainty = np.array(evaluation.confusion.uncertainty, np.float64)
    width, height = _matrix_size(classes)
    with figure(paths, width=width, height=height) as axes:
        axes.imshow(value, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(value):
            text = _with_uncertainty(100 * share, 100 * float(uncertainty[row, column]), 1)
            _cell(axes, row, column, text, is_dark=float(share) > 0.5)
        _class_axes(axes, classes, classes, xlabel="Predicted class", ylabel="True class")
        axes.set_title("Share of the true class [%]", fontsize=15)
    yield _matrix_table("share", classes, value, uncertainty, rows="true class", columns="as")


def _matrices(cells: Sequence[Sequence[Figure]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Values and uncertainties, NaN where there are none."""
    value = np.array([[cell.value for cell in row] for row in cells], np.float64)
    return value, np.array([[cell.uncertainty for cell in row] for row in cells], np.float64)


def _matrix_size(classes: Sequence[str]) -> tuple[float, float]:
    side = max(1.05 * len(classes), 2.6)
    return side + 2.2, side + 1.6


def _with_uncertainty(value: float, uncertainty: float, digits: int) -> str:
    return f"{value:.{digits}f}\n±{uncertainty:.{digits}f}" if np.isfinite(value) else "none"


def _cell(axes: Any, row: int, column: int, text: str, *, is_dark: bool) -> None:
    axes.text(column, row, text, ha="center", va="center", color="white" if is_dark else "black", fontsize=12)


def _class_axes(axes: Any, rows: Sequence[str], columns: Sequence[str], *, xlabel: str, ylabel: str) -> None:
    axes.set(xlabel=xlabel, ylabel=ylabel, xticks=range(len(columns)), yticks=range(len(rows)))
    is_long = len(columns) > 4 or max(map(len, columns)) > 9
    axes.set_xticklabels(columns, rotation=45 if is_long else 0, ha="right" if is_long else "center", rotation_mode="anchor")
    axes.set_yticklabels(rows)
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()


def _matrix_table(
    what: str,
    classes: Sequence[str],
    value: npt.NDArray[np.float64],
    uncertainty: npt.NDArray[np.float64],
    *,
    rows: str,
    columns: str,
) -> Table:
    return Table(
        name=f"{what} by {rows}",
        columns=(
            Column(name=rows, values=tuple(classes), is_independent=True),
            *(
                Column(name=f"{columns} {name}", values=_known(value[:, index]), uncertainty=_known(uncertainty[:, index]))
                for index, name in enumerate(classes)
            ),
        ),
    )


def _known(values: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(value if np.isfinite(value) else None for value in values.tolist())


def against_observer(evaluation: Evaluation, curves: Curves, paths: Paths, *, observer: str) -> Iterator[Table]:
    """Signal efficiency and background rejection of fixed cuts in bins of an observer; a colour a model, a marker a cut.

    Two panels for each background, one above the other.
    """
    bins, backgrounds = curves.observer_bins[observer], evaluation.backgrounds
    columns, rows = min(3, len(backgrounds)), 2 * -(-len(backgrounds) // 3)
    scorers = list(evaluation.performance)
    of_observer = [one for one in curves.observers if one.observer == observer]
    shown = [scorer for scorer in scorers if any(one.scorer == scorer for one in of_observer)]
    is_single = len(backgrounds) == 1
    width, height = (7.0, 8.0) if is_single else (4.8 * columns, 3.6 * rows)
    with figure(paths, width=width, height=height, columns=columns, heights=[1.0] * rows) as drawn:
        panels = np.array(drawn).reshape(rows, columns)
        for panel in panels.ravel():
            panel.set_axis_off()
        for index, background in enumerate(backgrounds):
            row, column = divmod(index, columns)
            upper, lower = panels[2 * row, column], panels[2 * row + 1, column]
            of_background = [one for one in of_observer if one.background == background]
            for one in of_background:
                marker = _MARKERS[_efficiencies(of_background).index(one.signal_efficiency) % len(_MARKERS)]
                style = {"color": _style(scorers, one.scorer)["color"], "marker": marker}
                shift = 0.12 * (shown.index(one.scorer) - (len(shown) - 1) / 2)
                _in_bins(upper, bins.edges, one.signal, style, shift=shift)
                _in_bins(lower, bins.edges, _rejection(one.backgrounds), style, shift=shift)
                yield _observer_table(one, bins.label, bins.edges)
            for panel in (upper, lower):
                panel.set_axis_on()
                panel.grid(alpha=0.3)
                if not of_background:
                    panel.text(0.5, 0.5, "not measured", transform=panel.transAxes, ha="center")
                if bins.edges:
                    panel.set_xlim(_visible(bins.edges))
            upper.set(ylabel=f"{evaluation.signal} efficiency", ylim=(-0.03, 1.05))
            upper.tick_params(labelbottom=False)
            lower.set(ylabel=f"{background} rejection 1/ε", xlabel=bins.label, yscale="log")
        models = [_handle(_style(scorers, scorer)["color"], _NAMES.get(scorer, scorer)) for scorer in shown]
        markers = zip(_efficiencies(of_observer), itertools.cycle(_MARKERS), strict=False)
        cuts = [_handle("black", f"cut at {at:.0%} of {evaluation.signal}", marker=marker) for at, marker in markers]
        legend = panels[0, 0].figure.legend
        legend(handles=models, loc="outside upper left", fontsize=12, ncols=1 if is_single else len(models))
        legend(handles=cuts, loc="outside upper right", fontsize=12, ncols=1 if is_single else len(cuts))
        if bins.not_finite:
            panels[0, 0].set_title(f"{bins.not_finite:,} examples without a finite value are in no bin", fontsize=11)


def _efficiencies(of_observer: Sequence[ObserverEfficiency]) -> list[float]:
    return sorted({one.signal_efficiency for one in of_observer})


def _handle(colour: str, label: str, *, marker: str | None = None) -> Line2D:
    """A line of a legend: a marker, or a thick line for a colour."""
    return Line2D([], [], color=colour, marker=marker, linestyle="" if marker else "-", linewidth=6, label=label)


def _visible(edges: Sequence[float]) -> tuple[float, float]:
    """The range of the axis: at both ends, at most three times the width of the bin that is second from there.

    In bins of equal numbers, the outermost reach to the single largest value.
    """
    if len(edges) < 4:
        return edges[0], edges[-1]
    return max(edges[0], edges[1] - 3 * (edges[2] - edges[1])), min(edges[-1], edges[-2] + 3 * (edges[-2] - edges[-3]))


def _in_bins(axes: Any, edges: Sequence[float], points: Points, style: dict[str, Any], *, shift: float) -> None:
    """Points in the middle of the visible part of their bins, shifted by a part of it; the range of a bin is drawn too."""
    visible = np.clip(edges, *_visible(edges))
    low, high = visible[:-1], visible[1:]
    x = (low + high) / 2 + shift * (high - low)
    value, uncertainty = (np.array(values, np.float64) for values in (points.value, points.uncertainty))
    if np.isnan(value).all():  # nothing for a logarithmic axis
        return
    errors = np.stack([np.minimum(uncertainty, 0.9 * np.abs(value)), uncertainty])
    axes.errorbar(x, value, yerr=errors, xerr=[x - low, high - x], linestyle="", markersize=5, linewidth=1.2, **style)


def _rejection(background: Points) -> Points:
    """1 / efficiency; None where the uncertainty of the efficiency is as large as itself, so that it is not measured."""
    value, error = (np.array(values, np.float64) for values in (background.value, background.uncertainty))
    efficiency = np.where(error < value, value, np.nan)
    return Points(value=_known(1 / efficiency), uncertainty=_known(error / efficiency**2))


def _observer_table(one: ObserverEfficiency, label: str, edges: Sequence[float]) -> Table:
    name = f"{_NAMES.get(one.scorer, one.scorer)} against {one.background}, score >= {one.threshold:.6g}"
    return Table(
        name=f"cut at signal efficiency {one.signal_efficiency:g}, {name}",
        columns=(
            binned(label, edges),
            Column(name="signal efficiency", values=one.signal.value, uncertainty=one.signal.uncertainty),
            Column(name=f"efficiency of {one.background}", values=one.backgrounds.value, uncertainty=one.backgrounds.uncertainty),
        ),
    )


def working_points(evaluation: Evaluation, curves: Curves, paths: Paths) -> Iterator[Table]:
    """The threshold of each working point in bins of an observer, and the signal efficiency there; a colour a working point.

    Two panels for each background, one above the other.
    """
    pairs = [pair for pair in evaluation.mistag_cuts if pair.in_bins]
    columns, rows = min(3, max(len(pairs), 1)), 2 * max(-(-len(pairs) // 3), 1)
    width, height = (7.0, 8.0) if len(pairs) < 2 else (4.8 * columns, 3.6 * rows)
    with figure(paths, width=width, height=height, columns=columns, heights=[1.0] * rows) as drawn:
        panels = np.array(drawn).reshape(rows, columns)
        for panel in panels.ravel()[2 * len(pairs) :] if len(pairs) < 2 else panels.ravel():
            panel.set_axis_off()
        for index, pair in enumerate(pairs):
            row, column = divmod(index, columns)
            yield from _working_points(panels[2 * row : 2 * row + 2, column], pair, evaluation, curves)
        if not pairs:
            panels[0, 0].text(0.5, 0.5, "no bins: one value only, or none", transform=panels[0, 0].transAxes, ha="center")


def _working_points(panels: Any, pair: MistagCuts, evaluation: Evaluation, curves: Curves) -> Iterator[Table]:
    """The two panels of one background."""
    upper, lower = panels
    background, bins = pair.background or "the rest", curves.observer_bins[pair.observer or ""]
    for cut, colour in zip(pair.cuts, itertools.cycle(COLOURS), strict=False):
        in_bins = [one for one in pair.in_bins if one.name == cut.name]
        thresholds = Points(value=tuple(one.threshold for one in in_bins), uncertainty=(0.0,) * len(in_bins))
        efficiencies = Points(
            value=tuple(one.at_mistag.value for one in in_bins),
            uncertainty=tuple(one.at_mistag.uncertainty for one in in_bins),
        )
        style = {"color": colour, "marker": "o"}
        _in_bins(upper, bins.edges, thresholds, style, shift=0)
        _in_bins(lower, bins.edges, efficiencies, {**style, "label": f"{cut.name}: {cut.mistag:.3g} of {background}"}, shift=0)
        yield Table(
            name=f"working point {cut.name}, {evaluation.signal} against {background}, mistag rate {cut.mistag:g}",
            columns=(
                binned(bins.label, bins.edges),
                Column(name="threshold", values=thresholds.value),
                Column(name="signal efficiency", values=efficiencies.value, uncertainty=efficiencies.uncertainty),
            ),
        )
    for panel in panels:
        panel.set_axis_on()
        panel.set_xlim(_visible(bins.edges))
        panel.grid(alpha=0.3)
    upper.set(ylabel="Threshold of the score")
    upper.set_title(evaluation.score_in_words(pair.background) if pair.background else "against the rest", fontsize=12)
    upper.tick_params(labelbottom=False)
    lower.set(ylabel=f"{evaluation.signal} efficiency", xlabel=bins.label, ylim=(0, 1.3))
    lower.legend(handles=lower.get_legend_handles_labels()[0], loc="upper left", fontsize=11)
