"""The look of every figure: the field's style (mplhep), colours, sizes and file formats."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator, NullLocator

from cyclotrain.core.files import atomic

# Okabe and Ito's: colour-blind readers can tell them apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
_SIZE = {
    "font.size": 15,
    "axes.titlesize": 15,
    "axes.labelsize": 16,
    "legend.fontsize": 13,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
}
# the highest bin over the median one from which on an axis is logarithmic; the number of bins that are few
_STEEP, _FEW = 50, 5
# no date, no version and no random ids, so that the same numbers give the same file
_METADATA: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


_PANEL = {
    "font.size": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 11,
    "axes.linewidth": 1.0,
    **{
        f"{axis}tick.{key}": value
        for axis in "xy"
        for key, value in {"labelsize": 9, "major.size": 5, "minor.size": 3, "major.width": 0.8, "minor.width": 0.6}.items()
    },
}


@dataclass(frozen=True)
class Label:
    """What stands above every figure: experiment, status such as `Preliminary`, luminosity in fb⁻¹ and energy in TeV."""

    experiment: str
    status: str
    luminosity: float | None
    energy: float | None
    is_data: bool = False


_LABEL: ContextVar[Label | None] = ContextVar("label", default=None)
# those whose fonts mplhep knows
_EXPERIMENTS = {"ALICE": mplhep.alice, "ATLAS": mplhep.atlas, "CMS": mplhep.cms, "DUNE": mplhep.dune, "LHCb": mplhep.lhcb}


@contextmanager
def labelled(label: Label | None) -> Iterator[None]:
    """Put the label on all figures that are drawn inside."""
    token = _LABEL.set(label)
    try:
        yield
    finally:
        _LABEL.reset(token)


def _write_label(axes: Any, label: Label) -> None:
    options = {
        "data": label.is_data, "lumi": label.luminosity, "com": label.energy, "loc": 0, "ax": axes, "fontsize": 16,
    }  # fmt: skip
    if label.experiment in _EXPERIMENTS:
        _EXPERIMENTS[label.experiment].label(label.status, **options)
    else:
        mplhep.label.exp_label(exp=label.experiment, text=label.status, **options)


@contextmanager
def multiples(paths: Sequence[str | Path], n: int, *, heights: Sequence[float] = (1.0,)) -> Iterator[Any]:
    """Small panels, four in a row: an array [n], or [n, rows of a panel] if a panel has several, of these `heights`."""
    columns = min(n, 4)
    lines = -(-n // columns)
    size = {1: 1.8, 2: 1.4}.get(n, 1.0)
    width, height = size * 3.4 * columns + 0.4, size * 2.3 * sum(heights) * lines + 0.7
    with figure(paths, width=width, height=height, columns=columns, heights=[*heights] * lines, sizes=_SIZE | _PANEL) as axes:
        grid = np.reshape(axes, (lines, len(heights), columns)).swapaxes(1, 2).reshape(lines * columns, len(heights))
        for unused in grid[n:].ravel():
            unused.remove()
        yield grid[:n] if len(heights) > 1 else grid[:n, 0]


@contextmanager
def figure(
    paths: Sequence[str | Path],
    *,
    width: float = 7.0,
    height: float = 6.0,
    columns: int = 1,
    heights: Sequence[float] = (1.0,),
    sizes: Mapping[str, float] = _SIZE,
) -> Iterator[Any]:
    """Axes to draw on, saved to each path in the format of its suffix, `.png` or `.svg`, when the block ends.

    heights: of the rows of panels, in any unit; sizes: of texts, as Matplotlib's settings.
    """
    mpl.use("Agg")
    settings = {
        **mplhep.style.ROOT,
        **sizes,
        "figure.figsize": (width, height),
        "axes.prop_cycle": cycler(color=COLOURS),
        "svg.hashsalt": "cyclotrain",
    }
    label = _LABEL.get()
    with mpl.rc_context(settings):
        drawing = plt.figure(layout="constrained")
        # the label has a row of its own, because legends and titles are above the panels
        grid = drawing.add_gridspec(1 + len(heights), columns, height_ratios=[0.01 * sum(heights), *heights])
        header = drawing.add_subplot(grid[0, :]) if label else None
        rows, axes = range(len(heights)), np.empty((len(heights), columns), object)
        for row, column in itertools.product(rows, range(columns)):
            axes[row, column] = drawing.add_subplot(grid[1 + row, column])
        yield axes.squeeze()[()]
        if header and label:
            header.set_axis_off()
            drawing.draw_without_rendering()  # so that the parts of the label know where they are
            _write_label(header, label)
        for path in map(Path, paths):
            form = path.suffix.removeprefix(".")
            with atomic(path) as temporary:
                drawing.savefig(temporary, dpi=130, format=form, metadata=_METADATA[form])
        plt.close(drawing)


def figure_of(panels: Any) -> Any:
    """The whole figure that panels are part of."""
    return np.ravel(panels)[0].figure


def common_legend(panels: Any, axes: Any) -> None:
    """One legend above all panels, of what is drawn in `axes`."""
    handles, labels = axes.get_legend_handles_labels()
    columns = {1: 2, 2: 4}.get(len(panels), 6)
    figure_of(panels).legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)


def is_steep(values: npt.NDArray[np.float64]) -> bool:
    """Whether histograms [n, bins] need a logarithmic axis: the highest bin is far above the median, of few bins the lowest."""
    positive = values[values > 0]
    few = values.shape[-1] <= _FEW
    return bool(positive.size and positive.max() > _STEEP * (positive.min() if few else np.median(positive)))


def short_axis(axes: Any, edges: npt.NDArray[np.float64], text: str) -> None:
    """The horizontal axis of a small panel: few ticks, at whole numbers if there are few bins, and a name that fits."""
    few = 2 < len(edges) <= _FEW + 1
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=few))
    if few:
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(text, fontsize=min(11.0, 11.0 * 34 / len(text)), loc="center")
