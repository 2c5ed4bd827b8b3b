"""What the model tells apart: ROC, confusion matrix."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cyclotrain.contract.results import BOOSTED_TREES, MODEL, Curves, Evaluation, WorkingPoint
from cyclotrain.report.plots.style import COLOURS, LINES, figure
from cyclotrain.report.tables import Column, Table

_NAMES = {MODEL: "exported model", BOOSTED_TREES: "boosted trees"}
Paths = Sequence[str | Path]


def roc(evaluation: Evaluation, curves: Curves, paths: Paths) -> Iterator[Table]:
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
            name = f"{_NAMES.get(curve.scorer, curve.scorer)} vs {curve.background}"
            area = f"{performance.auc.value:.4f}{performance.auc_mark} ± {performance.auc.uncertainty:.4f}"
            axes.plot(signal[shown], 1 / background[shown], line, color=colour, label=f"{name}, AUC {area}")
            points = [point for point in performance.rejection if point.rejection.value is not None]
            axes.errorbar(
                [point.signal_efficiency for point in points],
                [point.rejection.value for point in points],
                yerr=_errors(points),
                fmt="o", markersize=5, capsize=3, color=colour,
            )  # fmt: skip
            efficiency = f"efficiency of {evaluation.signal}"
            yield Table(
                name=f"ROC, {name}",
                columns=(
                    Column(name=efficiency, values=curve.signal_efficiency, is_independent=True),
                    Column(name=f"efficiency of {curve.background}", values=curve.background_efficiency),
                ),
            )
            yield Table(
                name=f"working points, {name}",
                columns=(
                    Column(name=efficiency, values=tuple(point.signal_efficiency for point in points), is_independent=True),
                    Column(
                        name=f"rejection of {curve.background}",
                        values=tuple(point.rejection.value for point in points),
                        uncertainty=tuple(point.rejection.uncertainty for point in points),
                    ),
                ),
            )
        axes.set(xlabel=f"Signal efficiency ({evaluation.signal})", ylabel="Background rejection 1/ε", yscale="log", xlim=(0, 1))
        axes.legend(loc="upper right", fontsize=13 if len(curves.roc) <= 4 else 9)
        axes.set_ylim(1, axes.get_ylim()[1] * 4 ** max(1.0, len(curves.roc) / 3))
        axes.grid(alpha=0.3)


def _errors(points: Sequence[WorkingPoint]) -> npt.NDArray[np.float64]:
    """Uncertainties [2, n_points], downwards and upwards; on a logarithmic axis one as large as the value has no lower end."""
    values = np.array([point.rejection.value for point in points], np.float64)
    uncertainties = np.array([point.rejection.uncertainty for point in points], np.float64)
    return np.stack([np.minimum(uncertainties, 0.9 * values), uncertainties])


def confusion(evaluation: Evaluation, paths: Paths) -> Iterator[Table]:
    """Fractions of each true class by the class of largest probability."""
    assert evaluation.confusion  # the figure is for models with classes
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
    yield Table(
        name="confusion matrix",
        columns=(
            Column(name="true class", values=classes, is_independent=True),
            *(Column(name=f"as {name}", values=tuple(fraction[:, i].tolist())) for i, name in enumerate(classes)),
        ),
    )
