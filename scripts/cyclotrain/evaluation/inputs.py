"""The distributions of the features, by class and split, with the rates of values that the model does not see as they are."""

import logging
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Contract
from cyclotrain.contract.results import Feature, FeatureDistribution, Inputs
from cyclotrain.data.batches import Batches
from cyclotrain.evaluation.features import BATCH, Features, SetValues, fitting_axes, iterate
from cyclotrain.metrics.distributions import Histograms
from cyclotrain.metrics.shapes import Shape

_SPLITS = ("train", "test")
_log = logging.getLogger(__name__)


def describe_inputs(contract: Contract, shards: Sequence[str]) -> Inputs:
    """Fill a histogram of each feature for each class in the training and the test split, in one pass and bounded memory.

    Weights are the physics weights, each class is normalised to itself. The edges are fixed before, from some training examples.
    """
    start, n = time.perf_counter(), 0
    axes, features, groups = fitting_axes(contract, shards), Features(contract), contract.groups
    histograms = {name: Histograms(of_set, len(_SPLITS) * len(groups)) for name, of_set in axes.items()}
    clipped = {name: np.zeros((len(_SPLITS) * len(groups), len(of_set)), np.int64) for name, of_set in axes.items()}
    for number, split in enumerate(_SPLITS):
        for examples in iterate(contract, shards, split):
            n += len(examples)
            for batch in Batches(examples, contract.layout, BATCH):
                group, weight = number * len(groups) + batch.label.numpy(), batch.weight.numpy()
                for name, values in features.of(batch.branches).items():
                    histograms[name].add(values.values, example=values.example, group=group, weight=weight)
                    clipped[name] += _clipped(contract, name, values, group[values.example], n_groups=len(clipped[name]))
    described = []
    for name, layout in contract.layout.sets.items():
        filled = histograms[name]
        with np.errstate(invalid="ignore"):
            non_finite, cut = (
                np.nan_to_num(counts / filled.entries) for counts in (filled.non_finite, clipped[name])
            )  # no entries: 0
        for column, text in enumerate(layout.features):
            rows = [
                FeatureDistribution(
                    split=split,
                    class_name=class_name,
                    **_drawn(filled.shapes[row][column]),
                    non_finite=float(non_finite[row, column]),
                    clipped=float(cut[row, column]),
                )
                for row, (split, class_name) in enumerate((split, group) for split in _SPLITS for group in groups)
            ]
            edges = tuple(filled.axes[column].edges.tolist())
            described.append(Feature(set_name=name, text=text, edges=edges, distributions=tuple(rows)))
    inputs = Inputs(features=tuple(described))
    worst = ", ".join(f"{name} {figure.value:.2g}" for name, figure in inputs.figures().items())
    _log.info("%d features of %d examples in %.1f s; %s", len(described), n, time.perf_counter() - start, worst)
    return inputs


def _clipped(
    contract: Contract, name: str, values: SetValues, group: npt.NDArray[np.int64], *, n_groups: int
) -> npt.NDArray[np.int64]:
    """The number of values [n_groups, n_features] beyond the limit; `group` [n_values]. A non-finite value is not among them."""
    of_set = contract.layout.sets[name]
    if of_set.clip is None:
        return np.zeros((n_groups, len(of_set.features)), np.int64)
    mean, std = np.array(of_set.mean, np.float32), np.array(of_set.std, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = (np.abs((values.values - mean) / std) > of_set.clip) & np.isfinite(values.values)
    counts = [np.bincount(group[beyond[:, column]], minlength=n_groups) for column in range(len(of_set.features))]
    return np.stack(counts, axis=1)


def _drawn(shape: Shape) -> dict[str, tuple[float, ...]]:
    """Shares and their variances, with six digits; zeros where the sum of weights is not positive."""
    if shape.total <= 0:
        zeros = (0.0,) * len(shape.counts)
        return {"shares": zeros, "variances": zeros}
    numbers = {"shares": shape.shares, "variances": np.diagonal(shape.covariance)}
    return {name: tuple(float(f"{value:.6g}") for value in values.tolist()) for name, values in numbers.items()}
