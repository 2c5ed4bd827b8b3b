"""The features that the model sees: their distributions by class and split."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mplhep
import numpy as np
from matplotlib.ticker import MaxNLocator

from cyclotrain.contract.results import Feature, FeatureDistribution, Inputs
from cyclotrain.report.plots.style import COLOURS, common_legend, figure_of, is_steep, multiples, short_axis
from cyclotrain.report.tables import Column, Table, binned

Paths = Sequence[str | Path]


def distributions(inputs: Inputs, paths: Paths, *, set_name: str, first: str, last: str) -> Iterator[Table]:
    """The features of a set from number `first` up to `last`, a panel each: training filled, test as points, a colour a class."""
    features = [feature for feature in inputs.features if feature.set_name == set_name][int(first) : int(last)]
    with multiples(paths, len(features)) as panels:
        for axes, feature in zip(panels, features, strict=True):
            _draw(axes, feature)
            yield Table(
                name=feature.text,
                columns=(
                    binned(feature.text, feature.edges),
                    *(
                        Column(
                            name=f"fraction of {row.class_name}, {row.split} split",
                            values=row.shares,
                            uncertainty=tuple(np.sqrt(np.maximum(row.variances, 0)).tolist()),
                        )
                        for row in feature.distributions
                    ),
                ),
            )
        figure_of(panels).supylabel("Fraction of values", fontsize=11)
        common_legend(panels, panels[0])


def _draw(axes: Any, feature: Feature) -> None:
    classes = list(dict.fromkeys(row.class_name for row in feature.distributions))
    edges = np.array(feature.edges)
    for row in feature.distributions:
        colour = COLOURS[classes.index(row.class_name) % len(COLOURS)]
        shares = np.array(row.shares)
        if row.split == "train":
            filled = {"histtype": "fill", "alpha": 0.3} if len(classes) <= 3 else {"histtype": "step", "linewidth": 1}
            mplhep.histplot(shares, edges, ax=axes, color=colour, label=f"{row.class_name}, training", yerr=False, **filled)
        else:
            middle, errors = (edges[1:] + edges[:-1]) / 2, np.sqrt(np.maximum(row.variances, 0))
            axes.errorbar(
                middle,
                shares,
                yerr=errors,
                fmt="o",
                markersize=2.5,
                elinewidth=0.8,
                color=colour,
                label=f"{row.class_name}, test",
            )
    if is_steep(np.array([row.shares for row in feature.distributions])):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    short_axis(axes, edges, feature.text)
    if note := _note(feature.distributions):
        axes.set_title(note, fontsize=8, loc="right")


def _note(rows: Sequence[FeatureDistribution]) -> str:
    """What the model does not see as it is, at most of a class and split."""
    rates = {"non-finite": max(row.non_finite for row in rows), "clipped": max(row.clipped for row in rows)}
    return ", ".join(f"{name} {_percent(rate)}" for name, rate in rates.items() if rate > 0)


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %" if rate >= 1e-4 else "< 0.01 %"
