"""What variations of the simulation do to figures and scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mplhep
import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from cyclotrain.contract.results import Figure, Systematics, Variation
from cyclotrain.report.plots.style import COLOURS, LINES, figure, figure_of, is_steep, multiples, short_axis
from cyclotrain.report.tables import Column, Table, binned

_MARKERS = {"up": ("^", COLOURS[1]), "down": ("v", COLOURS[0])}
_SIZES = {"font.size": 11, "axes.labelsize": 11, "xtick.labelsize": 10, "ytick.labelsize": 11, "axes.linewidth": 1.0}
_SHOWN = 6  # variations that have a line of their own
Paths = Sequence[str | Path]
Doubles = npt.NDArray[np.float64]


def shifts(systematics: Systematics, paths: Paths, *, background: str) -> Iterator[Table]:
    """The shift of the AUC, and at each working point those of rejection and efficiencies; a row a systematic uncertainty."""
    names = list(dict.fromkeys(one.systematic for one in systematics.variations))
    rows = _rows(systematics, background)
    n_columns, height = len(rows[0]), 0.9 + 0.5 * len(names)
    with figure(
        paths,
        width=2.7 * n_columns + 1.8,
        height=2 * height + 1.2,
        columns=n_columns,
        heights=(height, height),
        sizes=_SIZES,
    ) as panels:
        for row, of_row in zip(panels, rows, strict=True):
            # the AUC has no second panel
            for axes in row[: n_columns - len(of_row)]:
                axes.remove()
            shown = row[n_columns - len(of_row) :]
            for axes, (title, values) in zip(shown, of_row.items(), strict=True):
                _draw_shifts(axes, names, systematics.variations, values)
                axes.set_xlabel(title, loc="center")
                axes.set_yticks(range(len(names)), names if axes is shown[0] else [""] * len(names))
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure_of(panels).legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    columns = {title: values for of_row in rows for title, values in of_row.items()}
    yield Table(
        name=f"shifts, {systematics.signal} against {background}",
        columns=(
            Column(
                name="variation",
                values=tuple(f"{one.systematic} {one.direction}" for one in systematics.variations),
                is_independent=True,
            ),
            *(
                Column(
                    name=title.replace("\n", " "),
                    values=tuple(value.value for value in values),
                    uncertainty=tuple(value.uncertainty for value in values),
                )
                for title, values in columns.items()
            ),
        ),
    )


def _rows(systematics: Systematics, background: str) -> list[dict[str, list[Figure]]]:
    """What is shown in two rows of panels, by its title: a shift for each variation; relative ones in percent."""
    shifted = [one.backgrounds[background] for one in systematics.variations]
    first, second = {"ΔAUC": [one.auc for one in shifted]}, {}
    for index, point in enumerate(shifted[0].points):
        points = [one.points[index] for one in shifted]
        first[f"Δ rejection [%]\nat {point.at:.0%} {systematics.signal}"] = [_percent(one.rejection) for one in points]
        title = f"Δ efficiency [%]\nof the cut at {point.at:.0%} {systematics.signal}"
        second[title] = [_percent(one.signal_efficiency) for one in points]
    return [first, second]


def _percent(value: Figure) -> Figure:
    if value.value is None:
        return value
    return Figure(value=100 * value.value, uncertainty=None if value.uncertainty is None else 100 * value.uncertainty)


def _draw_shifts(axes: Any, names: Sequence[str], variations: Sequence[Variation], values: Sequence[Figure]) -> None:
    for direction, (marker, colour) in _MARKERS.items():
        rows = [
            (names.index(one.systematic), value)
            for one, value in zip(variations, values, strict=True)
            if one.direction == direction and value.value is not None
        ]
        if rows:
            y = np.array([row for row, _ in rows]) + (-0.12 if direction == "up" else 0.12)
            axes.errorbar(
                [value.value for _, value in rows], y, xerr=[value.uncertainty or 0.0 for _, value in rows],
                fmt=marker, color=colour, markersize=6, capsize=2, elinewidth=1, label=direction,
            )  # fmt: skip
    axes.axvline(0, color="grey", linewidth=1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    low, high = axes.get_xlim()
    axes.set_xlim(-max(abs(low), abs(high)), max(abs(low), abs(high)))
    axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    axes.yaxis.set_minor_locator(MaxNLocator(1))
    axes.tick_params(axis="y", which="both", length=0)
    axes.grid(axis="x", alpha=0.3)


def scores(systematics: Systematics, paths: Paths) -> Iterator[Table]:
    """The probability of the signal by class with the band of all variations, and the ratio of each to the nominal one below."""
    edges = np.array(systematics.edges)
    with multiples(paths, len(systematics.nominal), heights=(1.0, 0.6)) as panels:
        for (axes, below), (name, shares) in zip(panels, systematics.nominal.items(), strict=True):
            nominal, statistical = np.array(shares), np.array(systematics.uncertainty[name])
            low, high = _band(nominal, [np.array(one.shares[name]) for one in systematics.variations])
            mplhep.histplot(nominal, edges, ax=axes, yerr=False, color="black", linewidth=1.2, label="nominal")
            _fill(axes, edges, nominal - low, nominal + high, label="systematic uncertainty")
            if is_steep(nominal):
                axes.set_yscale("log")
            axes.set_xlim(edges[0], edges[-1])
            axes.tick_params(labelbottom=False)
            axes.set_title(name, fontsize=11, loc="left")
            _draw_ratios(below, systematics, name)
            yield Table(
                name=f"score of {name}",
                columns=(
                    binned(f"probability of {systematics.signal}", systematics.edges),
                    Column(name="nominal", values=shares, uncertainty=tuple(statistical.tolist())),
                    Column(name="systematic uncertainty downwards", values=tuple(low.tolist())),
                    Column(name="systematic uncertainty upwards", values=tuple(high.tolist())),
                    *(
                        Column(name=f"{one.systematic} {one.direction}", values=one.shares[name])
                        for one in systematics.variations
                    ),
                ),
            )
        figure_of(panels).supylabel("Fraction of events, and ratio to nominal", fontsize=11)
        handles, labels = panels[0][0].get_legend_handles_labels()
        more, names = panels[0][1].get_legend_handles_labels()
        columns = 2 if len(panels) < 3 else 4
        figure_of(panels).legend(
            [*handles, *more], [*labels, *names], loc="outside upper center", ncols=columns, frameon=False, fontsize=9
        )


def _draw_ratios(axes: Any, systematics: Systematics, name: str) -> None:
    edges, nominal = np.array(systematics.edges), np.array(systematics.nominal[name])

    def ratio(values: Doubles) -> Doubles:
        return np.divide(values, nominal, where=nominal > 0, out=np.full(len(nominal), np.nan))

    low, high = _band(nominal, [np.array(one.shares[name]) for one in systematics.variations])
    _fill(axes, edges, 1 - ratio(low), 1 + ratio(high))
    statistical = ratio(np.array(systematics.uncertainty[name]))
    for sign in (-1, 1):
        mplhep.histplot(1 + sign * statistical, edges, ax=axes, yerr=False, color="grey", linewidth=0.6, linestyle=":")
    for index, systematic in enumerate(list(dict.fromkeys(one.systematic for one in systematics.variations))[:_SHOWN]):
        for one in (one for one in systematics.variations if one.systematic == systematic):
            line = LINES[0] if one.direction == "up" else LINES[1]
            mplhep.histplot(
                ratio(np.array(one.shares[name])), edges, ax=axes, yerr=False, color=COLOURS[index], linestyle=line, linewidth=1,
                label=f"{systematic} {one.direction}",
            )  # fmt: skip
    axes.axhline(1, color="black", linewidth=0.8)
    # bins with few events do not decide the range
    known = nominal > 0.005
    farthest = max(float(np.max(ratio(np.maximum(low, high))[known], initial=0.0)), 0.02)
    axes.set_ylim(1 - min(1.4 * farthest, 1), 1 + min(1.4 * farthest, 1))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    short_axis(axes, edges, f"Probability of {systematics.signal}")


def _band(nominal: Doubles, varied: Sequence[Doubles]) -> tuple[Doubles, Doubles]:
    """Downwards and upwards: the roots of the sums of squares of all shifts in that direction."""
    shift = np.array(varied) - nominal
    low, high = (np.sqrt((part**2).sum(axis=0)) for part in (np.minimum(shift, 0), np.maximum(shift, 0)))
    return low, high


def _fill(axes: Any, edges: Doubles, low: Doubles, high: Doubles, label: str | None = None) -> None:
    low, high = (np.append(values, values[-1]) for values in (low, high))
    axes.fill_between(edges, low, high, step="post", color="grey", alpha=0.35, linewidth=0, label=label)
