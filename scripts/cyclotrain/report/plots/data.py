"""Recorded data against simulation, with the ratio below."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mplhep
import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator, NullLocator

from cyclotrain.contract.results import Comparison, DataComparison
from cyclotrain.report.plots.style import COLOURS, common_legend, figure_of, is_steep, multiples, short_axis
from cyclotrain.report.tables import Column, Table, binned

_RATIO = 0.35  # height of the lower panel
_RANGES = (0.1, 0.2, 0.4, 1.0)  # of the ratio, on each side of 1
Paths = Sequence[str | Path]


def compared(data: DataComparison, paths: Paths, *, set_name: str, first: str, last: str) -> Iterator[Table]:
    """The quantities of a set, observers or scores from number `first` up to `last`: classes stacked, data as points."""
    comparisons = list(data.of(set_name))[int(first) : int(last)]
    with multiples(paths, len(comparisons), heights=(1.0, _RATIO)) as panels:
        for (axes, below), one in zip(panels, comparisons, strict=True):
            _draw(axes, one)
            _ratio(below, one)
            yield _table(one)
        figure_of(panels).supylabel("Entries, simulation normalised to data", fontsize=11)
        common_legend(panels, panels[0][0])


def _draw(axes: Any, one: Comparison) -> None:
    edges, total = np.array(one.edges), _total(one)
    classes = {name: np.array(values) for name, values in one.simulation.items()}
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(classes))]
    mplhep.histplot(
        list(classes.values()),
        edges,
        ax=axes,
        stack=True,
        histtype="fill",
        alpha=0.6,
        color=colours,
        label=list(classes),
        yerr=False,
    )
    _band(axes, edges, total - one.uncertainty, total + one.uncertainty, label="statistical uncertainty")
    middle = (edges[1:] + edges[:-1]) / 2
    axes.errorbar(
        middle, one.data, yerr=one.data_uncertainty, fmt="o", color="black", markersize=2.5, elinewidth=0.8, label="data"
    )
    if is_steep(np.array([total, one.data])):
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(0.3, 0.3 * float(np.min(total[total > 0], initial=np.inf))))
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    axes.set_xlim(edges[0], edges[-1])
    axes.tick_params(labelbottom=False)
    axes.set_title(_tests(one), fontsize=8, loc="right")


def _ratio(axes: Any, one: Comparison) -> None:
    edges, total, counts = np.array(one.edges), _total(one), np.array(one.data)
    ratio, error, band = (
        np.divide(values, total, where=total > 0, out=np.full(len(total), np.nan))
        for values in (counts, np.array(one.data_uncertainty), np.array(one.uncertainty))
    )
    _band(axes, edges, 1 - band, 1 + band)
    shown = counts > 0
    axes.errorbar(
        ((edges[1:] + edges[:-1]) / 2)[shown], ratio[shown], yerr=error[shown],
        fmt="o", color="black", markersize=2.5, elinewidth=0.8,
    )  # fmt: skip
    axes.axhline(1, color="grey", linewidth=0.8)
    precise = shown & (error < _RANGES[-1] / 2)
    farthest = np.max(np.abs(ratio[precise] - 1) + error[precise], initial=0.0)
    half = next((half for half in _RANGES if half >= farthest), _RANGES[-1])
    axes.set(xlim=(edges[0], edges[-1]), ylim=(1 - half, 1 + half), yticks=(1 - half / 2, 1, 1 + half / 2))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("ratio", fontsize=8, loc="center")
    short_axis(axes, edges, one.label)


def _band(axes: Any, edges: npt.NDArray[np.float64], low: Any, high: Any, label: str | None = None) -> None:
    low, high = (np.append(values, values[-1]) for values in (low, high))
    axes.fill_between(edges, low, high, step="post", facecolor="none", edgecolor="grey", hatch="//////", linewidth=0, label=label)


def _total(one: Comparison) -> npt.NDArray[np.float64]:
    return np.sum(list(one.simulation.values()), axis=0, dtype=np.float64)


def _tests(one: Comparison) -> str:
    parts, test = [], one.chi_square
    if test.p_value is not None:
        parts.append(f"χ²/ndf = {test.value:.4g}/{test.degrees}, p {_p(test.p_value)}")
    if one.kolmogorov and one.kolmogorov.p_value is not None:
        parts.append(f"KS p {_p(one.kolmogorov.p_value)}")
    return ", ".join(parts)


def _p(value: float) -> str:
    return f"= {value:.2g}" if value >= 1e-4 else "< 0.0001"


def _table(one: Comparison) -> Table:
    uncertainty = tuple(one.uncertainty)
    return Table(
        name=one.label,
        columns=(
            binned(one.label, one.edges),
            Column(name="data", values=one.data, uncertainty=one.data_uncertainty),
            Column(name="simulation", values=tuple(_total(one).tolist()), uncertainty=uncertainty),
            *(Column(name=f"simulation, {name}", values=values) for name, values in one.simulation.items()),
        ),
    )
