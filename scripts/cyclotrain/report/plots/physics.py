"""What the model tells apart: ROC, scores, confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import mplhep
import numpy as np
import numpy.typing as npt

from cyclotrain.contract.results import BOOSTED_TREES, MODEL, Curves, Evaluation, WorkingPoint
from cyclotrain.report.plots.style import COLOURS, LINES, figure

_NAMES = {MODEL: "exported model", BOOSTED_TREES: "boosted trees"}
Paths = Sequence[str | Path]


def roc(evaluation: Evaluation, curves: Curves, paths: Paths) -> None:
    """Background rejection against signal efficiency of any number of models, with working points and uncertainties.

    A colour a model, a line style a background.
    """
    scorers, backgrounds = list(evaluation.performance), list(evaluation.backgrounds)
    with figure(paths) as axes:
        for curve in curves.roc:
            colour = COLOURS[scorers.index(curve.scorer) % len(COLOURS)]
            line = LINES[backgrounds.index(curve.background) % len(LINES)]
            performance = evaluation.performance[curve.scorer][curve.background]
            signal, background = np.array(curve.signal_efficiency), np.array(curve.background_efficiency)
            shown = (background > 0) & (signal > 0.05)
            name = _NAMES.get(curve.scorer, curve.scorer)
            area = f"{performance.auc.value:.4f}{performance.auc_mark} ± {performance.auc.uncertainty:.4f}"
            label = f"{name} vs {curve.background}, AUC {area}"
            axes.plot(signal[shown], 1 / background[shown], line, color=colour, label=label)
            points = [point for point in performance.rejection if point.rejection.value is not None]
            axes.errorbar(
                [point.signal_efficiency for point in points],
                [point.rejection.value for point in points],
                yerr=_errors(points),
                fmt="o", markersize=5, capsize=3, color=colour,
            )  # fmt: skip
        axes.set(xlabel=f"Signal efficiency ({evaluation.signal})", ylabel="Background rejection 1/ε", yscale="log", xlim=(0, 1))
        axes.legend(loc="upper right", fontsize=13 if len(curves.roc) <= 4 else 9)
        axes.set_ylim(1, axes.get_ylim()[1] * 4 ** max(1.0, len(curves.roc) / 3))
        axes.grid(alpha=0.3)


def _errors(points: Sequence[WorkingPoint]) -> npt.NDArray[np.float64]:
    """Uncertainties [2, n_points], downwards and upwards; on a logarithmic axis one as large as the value has no lower end."""
    values = np.array([point.rejection.value for point in points], np.float64)
    uncertainties = np.array([point.rejection.uncertainty for point in points], np.float64)
    return np.stack([np.minimum(uncertainties, 0.9 * values), uncertainties])


def scores(evaluation: Evaluation, curves: Curves, paths: Paths) -> None:
    """The signal probability by class, training split filled and test split as points."""
    classes = evaluation.classes
    with figure(paths) as axes:
        for histogram in curves.scores:
            colour = COLOURS[classes.index(histogram.class_name) % len(COLOURS)]
            counts = (np.array(histogram.values), np.array(histogram.edges))
            if histogram.split == "train":
                label = f"{histogram.class_name}, training"
                mplhep.histplot(counts, ax=axes, histtype="fill", alpha=0.35, yerr=False, color=colour, label=label)
            else:
                test = evaluation.overtraining[histogram.class_name]
                label = f"{histogram.class_name}, test (KS p = {test.p_value:.2f})"
                errors = np.sqrt(histogram.variances)
                mplhep.histplot(counts, ax=axes, histtype="errorbar", yerr=errors, markersize=6, color=colour, label=label)
        axes.set(xlabel=f"Probability of {evaluation.signal}", ylabel="Fraction of events", yscale="log", xlim=(0, 1))
        axes.set_ylim(top=axes.get_ylim()[1] * 1.5)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def calibration(evaluation: Evaluation, paths: Paths) -> None:
    """The share of each class against its mean probability, in bins of it."""
    with figure(paths) as axes:
        axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1.5, label="calibrated")
        for index, (name, measured) in enumerate(evaluation.calibration.items()):
            error = measured.error
            label = name if error.value is None else f"{name}, error {error.value:.4f} ± {error.uncertainty:.4f}"
            axes.errorbar(
                [part.probability for part in measured.bins],
                [part.fraction.value for part in measured.bins],
                yerr=[part.fraction.uncertainty for part in measured.bins],
                fmt="o-", markersize=6, capsize=3, linewidth=1, color=COLOURS[index % len(COLOURS)], label=label,
            )  # fmt: skip
        axes.set(xlabel="Mean probability in the bin", ylabel="Share that is of the class", xlim=(0, 1), ylim=(0, 1.05))
        axes.legend(loc="upper left", fontsize=13 if len(evaluation.calibration) <= 4 else 9)
        axes.grid(alpha=0.3)


def confusion(evaluation: Evaluation, paths: Paths) -> None:
    """Fractions of each true class by the class of largest probability."""
    assert evaluation.confusion  # the rule is for models with classes
    classes, fraction = evaluation.classes, np.array(evaluation.confusion.fraction)
    with figure(paths, width=1.5 * len(classes) + 3.5, height=1.3 * len(classes) + 2.5) as axes:
        axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(fraction):
            axes.text(column, row, f"{value:.3f}", ha="center", va="center", color="white" if value > 0.5 else "black")
        axes.set(xlabel="Predicted class", ylabel="True class", xticks=range(len(classes)), yticks=range(len(classes)))
        axes.set_xticklabels(classes)
        axes.set_yticklabels(classes)
        axes.tick_params(which="both", length=0)
        axes.minorticks_off()
