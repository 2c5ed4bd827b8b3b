"""What each feature is worth to the model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from cyclotrain.contract.results import FeatureImportance, Figure, Importance
from cyclotrain.report.plots.style import COLOURS, figure
from cyclotrain.report.tables import Column, Table

_MOST = 40  # bars
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
Paths = Sequence[str | Path]


def importance(importance: Importance, paths: Paths, *, shuffled: str, attributed: str, what: str) -> Iterator[Table]:
    """Bars of what shuffling each feature does to a measure, and beside them the integrated gradients of an output."""
    ranked = sorted(importance.features, key=lambda one: -(one.permutation[shuffled].value or 0.0))
    shown = ranked[:_MOST]
    labels = [_label(one) for one in shown]
    columns = {what: [one.permutation[shuffled] for one in shown]}
    columns[f"Mean |attribution|, {attributed}"] = [one.attribution[attributed] for one in shown]
    with figure(paths, width=11.0, height=1.6 + 0.27 * len(shown), columns=2, sizes=_SIZES) as axes:
        for panel, colour, (title, values) in zip(axes, COLOURS, columns.items(), strict=False):
            _bars(panel, values, colour)
            panel.set_xlabel(title)
        axes[0].set_yticks(range(len(shown)), labels)
        axes[1].set_yticks(range(len(shown)), [""] * len(shown))
        left_out = len(ranked) - len(shown)
        if left_out:
            axes[0].set_title(f"the {_MOST} first of {len(ranked)} features", fontsize=10, loc="left")
    yield Table(
        name=f"importance, {shuffled}",
        columns=(
            Column(name="feature", values=tuple(f"{one.set_name}: {one.text}" for one in ranked), is_independent=True),
            _column(what, [one.permutation[shuffled] for one in ranked]),
            _column(f"mean |attribution|, {attributed}", [one.attribution[attributed] for one in ranked]),
        ),
    )


_SIZES = {
    "font.size": 11,
    "axes.labelsize": 12,
    "xtick.labelsize": 10,
    "ytick.labelsize": 9,
    "axes.linewidth": 1.0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


def _bars(axes: Any, values: Sequence[Figure], colour: str) -> None:
    sizes = np.array([one.value if one.value is not None else np.nan for one in values])
    errors = np.array([one.uncertainty or 0.0 for one in values])
    axes.barh(np.arange(len(sizes)), sizes, xerr=errors, color=colour, alpha=0.75, height=0.7, error_kw={"elinewidth": 1})
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_ylim(len(sizes) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", alpha=0.3)


def _label(one: FeatureImportance) -> str:
    """The feature, with a letter for its group of correlated features."""
    text = one.text if len(one.text) <= 48 else f"{one.text[:47]}…"
    return text if one.group is None else f"{text}  [{_LETTERS[one.group % len(_LETTERS)]}]"


def _column(name: str, values: Sequence[Figure]) -> Column:
    return Column(name=name, values=tuple(one.value for one in values), uncertainty=tuple(one.uncertainty for one in values))
