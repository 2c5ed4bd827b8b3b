"""How well the quantities are estimated on the test split."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Quantity
from cyclotrain.contract.results import Coverage, Figure, Regression, ResponseBin, ResponseHistogram
from cyclotrain.evaluation.predictions import Scored
from cyclotrain.metrics.response import coverage, equal_bins, in_bin, response

_AGAINST = 10  # bins of a variable
_BINS, _WIDTHS = 60, 5.0  # of the response histograms, which reach to this many half widths on each side of the median


def measure(test: Scored, scorer: str) -> dict[str, Regression]:
    """The figures of each quantity, over the test examples that have it."""
    contract = test.contract
    return {part.quantity.name: _measured(part, contract.layout.observers, contract.seed) for part in _parts(test, scorer)}


def histograms(test: Scored, measured: Mapping[str, Mapping[str, Regression]]) -> Iterator[ResponseHistogram]:
    """The distribution of the response of each quantity, for each that estimates it; `measured`: what `measure` gives."""
    for scorer, by_quantity in measured.items():
        for part in _parts(test, scorer):
            figures = by_quantity[part.quantity.name]
            if part.response is None or figures.bias is None or figures.bias.value is None:
                continue
            assert figures.resolution and figures.resolution.value is not None
            centre = figures.bias.value + (part.quantity.response == "ratio")
            half = _WIDTHS * (figures.resolution.value or part.quantity.scale)
            edges = np.linspace(centre - half, centre + half, _BINS + 1)
            counts = np.histogram(part.response, edges, weights=part.examples.weight.astype(np.float64))[0]
            yield ResponseHistogram(
                scorer=scorer,
                quantity=part.quantity.name,
                edges=tuple(edges.tolist()),
                values=tuple((counts / part.examples.weight.sum(dtype=np.float64)).tolist()),
            )


@dataclass(frozen=True)
class _Part:
    """The examples that have a quantity: its target [n], its estimates [n, n_columns], and the response [n] if there is one."""

    quantity: Quantity
    examples: "_Weighted"
    target: npt.NDArray[np.float64]
    estimates: npt.NDArray[np.float64]

    @property
    def response(self) -> npt.NDArray[np.float64] | None:
        column = self.quantity.estimate
        if column is None:
            return None
        estimate = self.estimates[:, column]
        return estimate / self.target if self.quantity.response == "ratio" else estimate - self.target


@dataclass(frozen=True)
class _Weighted:
    """Weights [n] and observers [n, n_observers] of examples."""

    weight: npt.NDArray[np.float32]
    observers: npt.NDArray[np.float32]


def _parts(test: Scored, scorer: str) -> Iterator[_Part]:
    contract, answers = test.contract, test.answers[scorer]
    first = len(contract.classes)
    for index, quantity in enumerate(contract.regression):
        last = first + len(quantity.columns)
        rows = ~np.isnan(test.targets[:, index])
        yield _Part(
            quantity,
            _Weighted(test.weight[rows], test.observers[rows]),
            test.targets[rows, index].astype(np.float64),
            answers[rows, first:last].astype(np.float64),
        )
        first = last


def _measured(part: _Part, observers: tuple[str, ...], seed: int) -> Regression:
    quantity, weight, values = part.quantity, part.examples.weight, part.response
    seed += zlib.crc32(quantity.name.encode())
    bias = resolution = None
    against = {}
    if values is not None:
        bias, resolution = _bias_and_resolution(quantity, values, weight, seed)
        for name in quantity.against:
            variable = part.examples.observers[:, observers.index(name)]
            bins = equal_bins(variable, _AGAINST)
            against[name] = tuple(
                _bin(quantity, edges, values[rows], weight[rows], seed)
                for index, edges in enumerate(bins)
                if (rows := in_bin(variable, bins, index)).any()
            )
    return Regression(
        response=quantity.response,
        examples=len(part.target),
        bias=bias,
        resolution=resolution,
        coverage=tuple(
            Coverage(quantile=quantile, share=Figure(**asdict(coverage(part.target, part.estimates[:, i], weight=weight))))
            for i, quantile in enumerate(quantity.quantiles)
        ),
        against=against,
    )


def _bias_and_resolution(
    quantity: Quantity, values: npt.NDArray[np.float64], weight: npt.NDArray[np.float32], seed: int
) -> tuple[Figure, Figure]:
    measured = response(values, weight=weight, seed=seed)
    bias, resolution = Figure(**asdict(measured.median)), Figure(**asdict(measured.half_width))
    if bias.value is not None and quantity.response == "ratio":
        bias = Figure(value=bias.value - 1, uncertainty=bias.uncertainty)
    return bias, resolution


def _bin(
    quantity: Quantity,
    edges: tuple[float, float],
    values: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float32],
    seed: int,
) -> ResponseBin:
    bias, resolution = _bias_and_resolution(quantity, values, weight, seed)
    return ResponseBin(low=edges[0], high=edges[1], examples=len(values), bias=bias, resolution=resolution)
