"""How well the quantities are estimated."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mplhep
import numpy as np

from cyclotrain.contract.results import MODEL, Curves, Evaluation, Regression
from cyclotrain.report.plots.style import COLOURS, figure
from cyclotrain.report.tables import Column, Table, binned

_RESPONSE = {"difference": "estimate - target", "ratio": "estimate / target"}


def response(evaluation: Evaluation, curves: Curves, paths: Sequence[str | Path], *, quantity: str) -> Iterator[Table]:
    """The response of a quantity as a distribution, and its bias and resolution against each variable; a colour an estimator.

    For quantiles without the median, which have no response: the share of targets below each quantile.
    """
    by_scorer = {scorer: by_quantity[quantity] for scorer, by_quantity in evaluation.regression.items()}
    model = by_scorer[MODEL]
    if model.bias is None:
        with figure(paths) as axes:
            _coverage(axes, model, quantity)
        known = [part for part in model.coverage if part.share.value is not None]
        yield Table(
            name=f"coverage of {quantity}",
            columns=(
                Column(name="quantile", values=tuple(part.quantile for part in known), is_independent=True),
                Column(
                    name="share of targets below",
                    values=tuple(part.share.value for part in known),
                    uncertainty=tuple(part.share.uncertainty for part in known),
                ),
            ),
        )
        return
    n_axes = 1 + len(model.against)
    with figure(paths, width=6.5 * n_axes, height=5.5, columns=n_axes) as drawn:
        axes, *against = np.atleast_1d(drawn)
        for colour, (scorer, figures) in zip(COLOURS, by_scorer.items(), strict=False):
            for histogram in curves.responses:
                if (histogram.scorer, histogram.quantity) == (scorer, quantity):
                    label = f"{_name(scorer)}: bias {_text(figures.bias)}, resolution {_text(figures.resolution)}"
                    values = np.array(histogram.values), np.array(histogram.edges)
                    mplhep.histplot(values, ax=axes, yerr=False, color=colour, label=label)
                    yield Table(
                        name=f"response of {quantity}, {_name(scorer)}",
                        columns=(
                            binned(_RESPONSE[model.response], histogram.edges),
                            Column(name="fraction of examples", values=histogram.values),
                        ),
                    )
        axes.axvline(float(model.response == "ratio"), color="grey", linestyle=":")
        axes.set(xlabel=f"{quantity}: {_RESPONSE[model.response]}", ylabel="Fraction of examples")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=11)
        for panel, variable in zip(against, model.against, strict=True):
            _in_bins(panel, model, variable)
            bins = model.against[variable]
            yield Table(
                name=f"{quantity} against {variable}",
                columns=(
                    Column(
                        name=variable,
                        values=tuple((part.low + part.high) / 2 for part in bins),
                        low=tuple(part.low for part in bins),
                        high=tuple(part.high for part in bins),
                        is_independent=True,
                    ),
                    Column(
                        name="bias",
                        values=tuple(part.bias.value for part in bins),
                        uncertainty=tuple(part.bias.uncertainty for part in bins),
                    ),
                    Column(
                        name="resolution",
                        values=tuple(part.resolution.value for part in bins),
                        uncertainty=tuple(part.resolution.uncertainty for part in bins),
                    ),
                ),
            )


def _in_bins(axes: Any, model: Regression, variable: str) -> None:
    """Bias as points with their uncertainty, and a band of plus and minus the resolution."""
    axes.axhline(0, color="grey", linestyle=":")
    axes.set(xlabel=variable, ylabel=f"Bias ({'ratio - 1' if model.response == 'ratio' else 'difference'})")
    bins = [part for part in model.against[variable] if part.bias.value is not None]
    if not bins:
        axes.text(0.5, 0.5, "no bins: one value only, or no examples", transform=axes.transAxes, ha="center")
        return
    low, width = (np.array(values) for values in zip(*((part.low, part.high - part.low) for part in bins), strict=True))
    bias = np.array([part.bias.value for part in bins], float)
    resolution = np.array([part.resolution.value for part in bins], float)
    axes.bar(low, 2 * resolution, width, bias - resolution, align="edge", alpha=0.25, color=COLOURS[0])
    axes.errorbar(
        low + width / 2, bias, xerr=width / 2, yerr=[part.bias.uncertainty for part in bins], fmt="o", markersize=5,
        color=COLOURS[0], label="bias, and ± resolution as a band",
    )  # fmt: skip
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=11)


def _coverage(axes: Any, model: Regression, quantity: str) -> None:
    known = [coverage for coverage in model.coverage if coverage.share.value is not None]
    axes.errorbar(
        [coverage.quantile for coverage in known],
        [coverage.share.value for coverage in known],
        yerr=[coverage.share.uncertainty for coverage in known],
        fmt="o", color=COLOURS[0],
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.set(xlabel=f"Quantile of {quantity}", ylabel="Share of targets below", xlim=(0, 1), ylim=(0, 1))


def _name(scorer: str) -> str:
    return "exported model" if scorer == MODEL else scorer


def _text(part: Any) -> str:
    return "none" if part is None or part.value is None else f"{part.value:.3g}"
