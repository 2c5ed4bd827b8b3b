"""The look of every figure: the field's style (mplhep), colours, sizes and file formats."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mplhep
from cycler import cycler
from matplotlib import pyplot as plt

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
# no date, no version and no random ids, so that the same numbers give the same file
_METADATA: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


@contextmanager
def figure(paths: Sequence[str | Path], *, width: float = 7.0, height: float = 6.0, columns: int = 1) -> Iterator[Any]:
    """Axes to draw on, saved to each path in the format of its suffix, `.png` or `.svg`, when the block ends."""
    mpl.use("Agg")
    settings = {
        **mplhep.style.ROOT,
        **_SIZE,
        "figure.figsize": (width, height),
        "axes.prop_cycle": cycler(color=COLOURS),
        "svg.hashsalt": "cyclotrain",
    }
    with mpl.rc_context(settings):
        drawing, axes = plt.subplots(ncols=columns, layout="constrained")
        yield axes
        for path in map(Path, paths):
            form = path.suffix.removeprefix(".")
            with atomic(path) as temporary:
                drawing.savefig(temporary, dpi=130, format=form, metadata=_METADATA[form])
        plt.close(drawing)
