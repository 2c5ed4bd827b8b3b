"""What each feature is worth to the model: permutation importance and integrated gradients."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from captum.attr import IntegratedGradients
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from cyclotrain.contract import Contract
from cyclotrain.contract.results import FeatureImportance, Figure, Importance
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import Examples, concatenate, iterate_rows
from cyclotrain.metrics.roc import Cells
from cyclotrain.networks.features import Inputs
from cyclotrain.networks.registry import Model, run_network

_EXAMPLES, _EVALUATIONS = 10_000, 100_000  # at most: examples, and examples times features
_PARTS = 5  # of the examples, each shuffled apart: their spread is the uncertainty
_ATTRIBUTED, _STEPS = 512, 20  # examples and steps of the integral
_BATCH = 256  # fits into the processor's cache
_CORRELATED = 0.9
_log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float64]


def importance(contract: Contract, shards: Sequence[str], model: Model) -> Importance:
    """Measure both on test examples that are evenly spread over the split.

    Permutation importance (Breiman 2001): how much worse the model is if the values of one feature are shuffled among the
    examples, those of constituents among all real constituents. The network runs from its features. Standardisation acts on
    each feature alone, so to shuffle after it is the same as before. The examples are in five parts that are shuffled apart; the
    result is the mean over parts, its uncertainty their standard deviation over the square root of their number.

    Integrated gradients (Sundararajan, Taly, Yan 2017), by captum: from the training mean of all features, which is 0 after
    standardisation, to the example; the uncertainty is that of the mean over examples. Four-vectors stay as they are in both.
    """
    start = time.perf_counter()
    examples = _spread(contract, shards, min(_EXAMPLES, _EVALUATIONS // _n_features(contract)))
    parts = [_Part.of(contract, examples, model, rows) for rows in _shuffled_parts(len(examples), contract.seed)]
    nominal = [part.measure(contract, model) for part in parts]
    shuffled = _shuffle_each(contract, model, parts)
    attributions, attributed = _attributions(contract, model, examples)
    groups = _groups(contract, parts)
    features = []
    for (name, column), worse in shuffled.items():
        features.append(
            FeatureImportance(
                set_name=name,
                text=contract.layout.sets[name].features[column],
                permutation={key: _mean([b[key] - a[key] for a, b in zip(nominal, worse, strict=True)]) for key in nominal[0]},
                attribution={key: _mean(values[name][:, column]) for key, values in attributions.items()},
                group=groups[name, column],
            )
        )
    _log.info("%d features on %d examples in %.1f s", len(features), len(examples), time.perf_counter() - start)
    return Importance(
        examples=len(examples),
        parts=_PARTS,
        attributed=attributed,
        # of an area, measure gives minus
        nominal={key: _mean([abs(part[key]) for part in nominal]) for key in nominal[0]},
        features=tuple(features),
    )


def _n_features(contract: Contract) -> int:
    return sum(len(of_set.features) for of_set in contract.layout.sets.values())


def _spread(contract: Contract, shards: Sequence[str], most: int) -> Examples:
    """At most so many examples of the test split, every k-th."""
    n = sum(int(splits["test"]["events"]) for sample in contract.samples.values() for splits in sample["by_class"].values())
    step = max(1, -(-n // most))
    return concatenate(list(iterate_rows(shards, contract, "test", step=step)), contract.layout)


def _shuffled_parts(n: int, seed: int) -> list[npt.NDArray[np.int64]]:
    return np.array_split(np.random.default_rng(seed).permutation(n), _PARTS)


@dataclass(frozen=True)
class _Part:
    """Examples in batches of like length, as what the network gets, with what they are measured by [n]."""

    batches: list[Inputs]
    label: npt.NDArray[np.int64]
    weight: Floats
    target: Floats  # [n, n_quantities]

    @classmethod
    def of(cls, contract: Contract, examples: Examples, model: Model, rows: npt.NDArray[np.int64]) -> "_Part":
        length = sum((np.diff(offsets)[rows] for _, offsets in examples.sets.values()), np.zeros(len(rows), np.int64))
        rows = rows[np.argsort(length, kind="stable")]
        batches = Batches(examples, contract.layout, _BATCH)
        with torch.inference_mode():
            inputs = [model.features(batches.gather(torch.from_numpy(some)).branches) for some in _chunks(rows)]
        weight, target = (values[rows].astype(np.float64) for values in (examples.weight, examples.targets))
        return cls(inputs, examples.label[rows], weight, target)

    def values(self, name: str) -> list[Tensor]:
        """The features of a set in each batch, [n_values, n_features]: of real constituents, or of examples."""
        return [
            batch.features[name][batch.masks[name]] if name in batch.masks else batch.features[name] for batch in self.batches
        ]

    def with_column(self, name: str, column: int, values: Tensor) -> Iterator[Inputs]:
        """The batches with other values [n_values] of one feature."""
        counts = [len(own) for own in self.values(name)]
        for batch, own in zip(self.batches, values.split(counts), strict=True):
            changed = batch.features[name].clone()
            if name in batch.masks:
                changed[..., column][batch.masks[name]] = own
            else:
                changed[:, column] = own
            yield batch._replace(features={**batch.features, name: changed})

    def measure(self, contract: Contract, model: Model, batches: Iterator[Inputs] | None = None) -> dict[str, float]:
        """By background, minus the AUC; by quantity, the mean absolute error. NaN where there is nothing to measure."""
        with torch.inference_mode():
            raw = torch.cat([run_network(model.network, batch) for batch in batches or self.batches]).double().numpy()
        measured = {}
        for index, name in enumerate(contract.classes):
            if name != contract.signal:
                score = raw[:, contract.signal_index] - raw[:, index]
                rows = np.isin(self.label, (contract.signal_index, index))
                is_signal = self.label[rows] == contract.signal_index
                area = Cells.exact(score[rows], is_signal, weight=self.weight[rows]).area().value
                measured[name] = np.nan if area is None else -area
        for index, (name, column) in enumerate(_estimates(contract).items()):
            quantity = contract.regression[index]
            error = np.abs(raw[:, column] - (self.target[:, index] - quantity.offset) / quantity.scale)
            has_one = np.isfinite(error)
            total = self.weight[has_one].sum()
            measured[name] = float((error * self.weight)[has_one].sum() / total) if total > 0 else np.nan
        return measured


def _chunks(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return np.array_split(rows, max(1, -(-len(rows) // _BATCH)))


def _estimates(contract: Contract) -> dict[str, int]:
    """The column of the network's outputs that estimates each quantity: of quantiles, the one nearest to the median."""
    columns, first = {}, len(contract.classes)
    for quantity in contract.regression:
        nearest = int(np.argmin(np.abs(np.array(quantity.quantiles) - 0.5))) if quantity.quantiles else 0
        columns[quantity.name] = first + nearest
        first += len(quantity.columns)
    return columns


def _shuffle_each(contract: Contract, model: Model, parts: Sequence[_Part]) -> dict[tuple[str, int], list[dict[str, float]]]:
    """What `measure` gives for each part, by the set and the column that is shuffled."""
    generator = torch.Generator().manual_seed(contract.seed)
    by_feature: dict[tuple[str, int], list[dict[str, float]]] = {}
    for name, of_set in contract.layout.sets.items():
        for column in range(len(of_set.features)):
            for part in parts:
                values = torch.cat(part.values(name))[:, column]
                shuffled = values[torch.randperm(len(values), generator=generator)]
                measured = part.measure(contract, model, part.with_column(name, column, shuffled))
                by_feature.setdefault((name, column), []).append(measured)
    return by_feature


def _attributions(contract: Contract, model: Model, examples: Examples) -> tuple[dict[str, dict[str, Floats]], int]:
    """|Attribution| of each feature [n, n_features], by output and set, for examples that are evenly spread, and their number."""
    rows = np.arange(0, len(examples), max(1, -(-len(examples) // _ATTRIBUTED)))
    part = _Part.of(contract, examples, model, rows)
    by_output: dict[str, dict[str, list[Floats]]] = {}
    for key, output in _outputs(contract).items():
        by_output[key] = {name: [] for name in contract.layout.sets}
        for batch in part.batches:
            for name, values in _attributed(model, batch, output).items():
                by_output[key][name].append(values)
    together = {key: {name: np.concatenate(values) for name, values in by_set.items()} for key, by_set in by_output.items()}
    return together, len(rows)


def _outputs(contract: Contract) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is attributed to features, [B] of the network's outputs [B, n_outputs]: the log-odds of the signal, the estimates."""
    outputs: dict[str, Callable[[Tensor], Tensor]] = {}
    if contract.signal:
        n, signal = len(contract.classes), contract.signal_index
        others = [index for index in range(n) if index != signal]
        outputs[contract.signal] = lambda raw: raw[:, signal] - raw[:, others].logsumexp(1)
    for name, column in _estimates(contract).items():
        outputs[name] = lambda raw, column=column: raw[:, column]  # type: ignore[misc]
    return outputs


def _attributed(model: Model, batch: Inputs, output: Callable[[Tensor], Tensor]) -> dict[str, Floats]:
    """By set, |attribution| of each feature [B, n_features], of constituents their sum."""
    sets, jagged, with_vectors = list(batch.features), list(batch.masks), list(batch.vectors)

    def forward(*tensors: Tensor) -> Tensor:
        features = dict(zip(sets, tensors, strict=False))
        masks = dict(zip(jagged, tensors[len(sets) :], strict=False))
        vectors = dict(zip(with_vectors, tensors[len(sets) + len(jagged) :], strict=True))
        return output(run_network(model.network, Inputs(features, masks, vectors)))

    # tensors that were made in inference mode cannot be differentiated
    inputs = tuple(x.clone() for x in batch.features.values())
    others = tuple(x.clone() for x in (*batch.masks.values(), *batch.vectors.values()))
    attributions = IntegratedGradients(forward).attribute(
        inputs, additional_forward_args=others, n_steps=_STEPS, internal_batch_size=4 * _BATCH
    )
    sums = {}
    for name, values in zip(sets, attributions, strict=True):
        sizes = values.detach().abs().double()
        sums[name] = (sizes if sizes.ndim == 2 else sizes.sum(dim=1)).numpy()
    return sums


def _groups(contract: Contract, parts: Sequence[_Part]) -> Mapping[tuple[str, int], int | None]:
    """A number for each group of features of one set of which each is strongly correlated with another, |r| > 0.9."""
    numbers: dict[tuple[str, int], int | None] = {}
    known = 0
    for name, of_set in contract.layout.sets.items():
        values = torch.cat([own for part in parts for own in part.values(name)]).double().numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.abs(np.corrcoef(values, rowvar=False)).reshape(len(of_set.features), -1)
        _, labels = connected_components(np.nan_to_num(correlation) > _CORRELATED, directed=False)
        sizes = np.bincount(labels)
        number_of = {int(label): known + index for index, label in enumerate(np.flatnonzero(sizes > 1))}
        known += len(number_of)
        numbers |= {(name, column): number_of.get(int(label)) for column, label in enumerate(labels)}
    return numbers


def _mean(values: Sequence[float] | Floats) -> Figure:
    """The mean with its uncertainty; what is NaN does not count."""
    known = np.asarray(values)[np.isfinite(values)]
    if not len(known):
        return Figure(value=None)
    uncertainty = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None
    return Figure(value=float(known.mean()), uncertainty=uncertainty)
