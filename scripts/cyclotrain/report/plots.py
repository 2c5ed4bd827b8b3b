"""The plots of a run, in the field's style (mplhep)."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hist
import matplotlib as mpl
import mplhep
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib import pyplot as plt

from cyclotrain.contract import Contract
from cyclotrain.core.files import atomic
from cyclotrain.data.shards import Examples
from cyclotrain.metrics.roc import Roc

# Okabe, Ito: told apart by colour-blind readers too
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_SIZE = {
    "font.size": 15,
    "axes.titlesize": 15,
    "axes.labelsize": 16,
    "legend.fontsize": 13,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
}


@contextmanager
def _figure(path: Path, width: float = 7.0, height: float = 6.0, columns: int = 1) -> Iterator[Any]:
    mpl.use("Agg")
    with mpl.rc_context(
        {**mplhep.style.ROOT, **_SIZE, "figure.figsize": (width, height), "axes.prop_cycle": cycler(color=_COLOURS)}
    ):
        figure, axes = plt.subplots(ncols=columns, layout="constrained")
        yield axes
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=130, format="png", metadata={"Software": None})
        plt.close(figure)


def roc(curves: Mapping[str, Mapping[str, Roc]], figures: Mapping[str, Any], signal: str, path: Path) -> None:
    """Background rejection against signal efficiency, with the working points and their uncertainties."""
    with _figure(path) as axes:
        colours = itertools.cycle(_COLOURS)
        for background, of in curves.items():
            for (name, curve), key, style in zip(of.items(), figures[background], ("-", "--"), strict=False):
                colour = next(colours)
                shown = (curve.background > 0) & (curve.signal > 0.05)
                auc = figures[background][key]["auc"]
                label = f"{name} vs {background}, AUC {auc['value']:.4f} ± {auc['uncertainty']:.4f}"
                axes.plot(curve.signal[shown], 1 / curve.background[shown], style, color=colour, label=label)
                points = [p for p in figures[background][key]["rejection"] if p["value"] is not None]
                axes.errorbar(
                    [p["signal_efficiency"] for p in points], [p["value"] for p in points],
                    yerr=[p["uncertainty"] for p in points], fmt="o", markersize=5, capsize=3, color=colour,
                )  # fmt: skip
        axes.set(xlabel=f"Signal efficiency ({signal})", ylabel="Background rejection 1/ε", yscale="log", xlim=(0, 1))
        axes.legend(loc="upper right")
        axes.set_ylim(1, axes.get_ylim()[1] * 4)
        axes.grid(alpha=0.3)


def scores(
    probabilities: Mapping[str, npt.NDArray[np.float32]],
    examples: Mapping[str, Examples],
    contract: Contract,
    overtraining: Mapping[str, Mapping[str, float]],
    path: Path,
) -> None:
    """The signal probability by class, training split filled and test split as points."""
    signal = contract.classes.index(contract.signal)
    with _figure(path) as axes:
        for index, name in enumerate(contract.classes):
            for split in ("train", "test"):
                of_class = examples[split].label == index
                filled = hist.Hist(hist.axis.Regular(40, 0, 1), storage=hist.storage.Weight())
                filled.fill(
                    np.clip(probabilities[split][of_class, signal], 0, np.nextafter(1, 0)),
                    weight=examples[split].weight[of_class],
                )
                filled = filled / filled.sum().value
                if split == "train":
                    mplhep.histplot(
                        filled,
                        ax=axes,
                        histtype="fill",
                        alpha=0.35,
                        yerr=False,
                        color=_COLOURS[index],
                        label=f"{name}, training",
                    )
                else:
                    label = f"{name}, test (KS p = {overtraining[name]['p_value']:.2f})"
                    mplhep.histplot(
                        filled,
                        ax=axes,
                        histtype="errorbar",
                        yerr=True,
                        markersize=6,
                        color=_COLOURS[index],
                        label=label,
                    )
        axes.set(xlabel=f"Probability of {contract.signal}", ylabel="Fraction of events", yscale="log", xlim=(0, 1))
        axes.set_ylim(top=axes.get_ylim()[1] * 20)
        axes.legend(loc="upper center", ncols=2)


def confusion(fraction: npt.NDArray[np.float64], classes: Sequence[str], path: Path) -> None:
    """Fractions of each true class by the class of largest probability."""
    with _figure(path, 1.5 * len(classes) + 3.5, 1.3 * len(classes) + 2.5) as axes:
        axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(fraction):
            axes.text(column, row, f"{value:.3f}", ha="center", va="center", color="white" if value > 0.5 else "black")
        axes.set(xlabel="Predicted class", ylabel="True class", xticks=range(len(classes)), yticks=range(len(classes)))
        axes.set_xticklabels(classes)
        axes.set_yticklabels(classes)
        axes.tick_params(which="both", length=0)
        axes.minorticks_off()


def history(epochs: Sequence[Mapping[str, float]], path: Path) -> None:
    """Training and validation loss by epoch, the kept epoch marked."""
    number = [line["epoch"] for line in epochs]
    best = min(epochs, key=lambda line: line["validation_loss"])
    with _figure(path) as axes:
        for key, label in (("train_loss", "training"), ("validation_loss", "validation")):
            axes.plot(number, [line[key] for line in epochs], "o-", markersize=4, label=label)
        axes.axvline(best["epoch"], color="grey", linestyle=":", label=f"kept: epoch {best['epoch']:g}")
        axes.set(xlabel="Epoch", ylabel="Weighted cross-entropy")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        axes.legend()
        axes.grid(alpha=0.3)


def latency(seconds: Mapping[str, npt.NDArray[np.float64]], content: Mapping[str, Any], path: Path) -> None:
    """The latency of single examples as a distribution by runtime, and the rate by the size of the batch."""
    with _figure(path, 13.0, 5.5, columns=2) as (of_one, rate):
        for (name, values), colour in zip(seconds.items(), itertools.cycle(_COLOURS), strict=False):
            milliseconds = np.sort(values) * 1e3
            share = np.arange(1, len(milliseconds) + 1) / len(milliseconds)
            label = f"{name}: {np.percentile(milliseconds, 50):.2g} ms, 99 %: {np.percentile(milliseconds, 99):.2g} ms"
            of_one.step(milliseconds, share, where="post", color=colour, label=label)
        of_one.set(xlabel="Latency of one example [ms]", ylabel="Fraction of examples below", xscale="log", ylim=(0, 1.6))
        of_one.set_yticks(np.linspace(0, 1, 6))
        of_one.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        of_one.xaxis.set_major_formatter("{x:g}")
        of_one.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        of_one.legend(loc="upper left", fontsize=11)
        for line, colour in zip(content["runtimes"], itertools.cycle(_COLOURS), strict=False):
            of_batch = line["examples_per_second"]
            rate.plot([int(n) for n in of_batch], list(of_batch.values()), "o-", color=colour, label=line["runtime"])
        rate.set(xlabel="Examples in a batch", ylabel="Examples per second", xscale="log", ylim=(0, 1.1 * rate.get_ylim()[1]))
        sizes = [int(n) for n in content["runtimes"][0]["examples_per_second"]]
        rate.set_xticks(sizes, [str(n) for n in sizes])
        rate.minorticks_off()
        rate.legend(loc="lower right", fontsize=11)
        for axes in (of_one, rate):
            axes.grid(alpha=0.3)
