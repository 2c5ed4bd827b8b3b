"""Whether the scores can be trusted: training against test split, calibration."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import mplhep
import numpy as np

from cyclotrain.contract.results import Curves, Evaluation
from cyclotrain.report.plots.style import COLOURS, figure
from cyclotrain.report.tables import Column, Table, binned

Paths = Sequence[str | Path]


def scores(evaluation: Evaluation, curves: Curves, paths: Paths) -> Iterator[Table]:
    """The signal probability by class, training split filled and test split as points."""
    classes = evaluation.classes
    with figure(paths) as axes:
        for histogram in curves.scores:
            colour = COLOURS[classes.index(histogram.class_name) % len(COLOURS)]
            counts = (np.array(histogram.values), np.array(histogram.edges))
            errors = np.sqrt(histogram.variances)
            if histogram.split == "train":
                label = f"{histogram.class_name}, training"
                mplhep.histplot(counts, ax=axes, histtype="fill", alpha=0.35, yerr=False, color=colour, label=label)
            else:
                test = evaluation.overtraining[histogram.class_name]
                label = f"{histogram.class_name}, test (KS p = {test.p_value:.2f})"
                mplhep.histplot(counts, ax=axes, histtype="errorbar", yerr=errors, markersize=6, color=colour, label=label)
            yield Table(
                name=f"scores of {histogram.class_name}, {histogram.split} split",
                columns=(
                    binned(f"probability of {evaluation.signal}", histogram.edges),
                    Column(name="fraction of events", values=histogram.values, uncertainty=tuple(errors.tolist())),
                ),
            )
        axes.set(xlabel=f"Probability of {evaluation.signal}", ylabel="Fraction of events", yscale="log", xlim=(0, 1))
        axes.set_ylim(top=axes.get_ylim()[1] * 1.5)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def calibration(evaluation: Evaluation, paths: Paths) -> Iterator[Table]:
    """The share of each class against its mean probability, in bins of it."""
    with figure(paths) as axes:
        axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1.5, label="calibrated")
        for index, (name, measured) in enumerate(evaluation.calibration.items()):
            error = measured.error
            label = name if error.value is None else f"{name}, error {error.value:.4f} ± {error.uncertainty:.4f}"
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
