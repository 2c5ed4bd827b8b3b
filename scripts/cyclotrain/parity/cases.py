"""The cases of the parity gate: the whole test split, every length of the sets, and hostile values in every input."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.data.batches import Batches
from cyclotrain.metrics.distance import distance
from cyclotrain.networks.features import Inputs
from cyclotrain.networks.registry import Outputs, load_model, run_network
from cyclotrain.parity.comparison import Answers, Array, Branches, Doubles, concatenated

BATCH_SIZES = (1, 7, 1024)
HOSTILE = {
    "nan": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "1e30": 1e30,
    "-1e30": -1e30,
    "1e-40": 1e-40,
    "-1e-40": -1e-40,
}
_MOVES, _MOVE = 16, 2.0**-22  # how often, and by which part, features are moved to see whether an answer is defined
_ANGLES = (0.0, 1.0, 1.0, 0.0)  # 1 for the angles of (pt, eta, phi, energy)
_SAMPLE = 32  # examples of the test split for each length and each hostile value
# The whole test split goes through the sessions that are deployed, in large batches. Of it, spread over it:
_IN_SMALL_BATCHES = 4096  # examples in batches of 1 and 7, for the model as deployed
_EVERYWHERE = {1: 500, 7: 500, 1024: 2048}  # examples for all sessions, by batch size


@dataclass(frozen=True)
class Case:
    """Batches of branches with PyTorch's answers."""

    name: str
    batches: Iterator[tuple[Branches, Answers]]
    hostile: bool = False  # values that no detector can give
    # as deployed: on one thread, with all optimisations
    sessions: Literal["all", "as deployed", "model as deployed"] = "all"


class References:
    """PyTorch's answers, eager and on the CPU.

    `noise`: the largest difference between float32 and float64. `no_double`: why there are no answers in float64, if so. They are
    for information, and a network may work in float32 only.
    """

    def __init__(self, contract: Contract, model: config.ModelConfig, weights: str | Path) -> None:
        self._single = Outputs(load_model(contract, model, weights)).eval()
        self._double = Outputs(load_model(contract, model, weights)).eval().double()
        self.scales = contract.scales
        self.features = self._single.model.features
        self.noise = 0.0
        self.no_double: str | None = None

    def single(self, branches: Branches) -> Array:
        """All outputs side by side [B, n_columns] in float32."""
        with torch.inference_mode():
            answer: Array = torch.cat(self._single(branches), dim=1).numpy()
        return answer

    def answers(self, branches: Branches) -> Answers:
        """In float32 and float64."""
        single = self.single(branches)
        double = self._in_double(lambda model: model({branch: value.double() for branch, value in branches.items()}))
        if double is not None:
            self.noise = max(self.noise, float(distance(single, double, self.scales).max()))
        return Answers(single, double)

    def spread(self, branches: Branches) -> Doubles:
        """How far each example's answer changes with rounding [B]: in float64, and with the inputs of the network moved a little.

        It is large where a network chooses, such as the nearest of neighbours that are all equally near; then two right answers
        may differ.
        """
        single = self.single(branches)
        with torch.inference_mode():
            inputs = self.features(branches)
            moved = [run_network(self._single.model.network, _moved(inputs, seed)) for seed in range(_MOVES)]
            others = [torch.cat(self._single.model.outputs(raw), dim=1).numpy() for raw in moved]
        features, vectors = ({name: x.double() for name, x in values.items()} for values in (inputs.features, inputs.vectors))
        exact = inputs._replace(features=features, vectors=vectors)
        double = self._in_double(lambda model: model.model.outputs(run_network(model.model.network, exact)))
        with np.errstate(invalid="ignore"):
            changes = [distance(other, single, self.scales).max(1) for other in (*others, double) if other is not None]
        return np.nan_to_num(np.max(changes, axis=0), nan=np.inf).astype(np.float64)

    def _in_double(self, answer: Callable[[Outputs], tuple[Tensor, ...]]) -> Doubles | None:
        """The answer of the model in float64; None if the network works in float32 only."""
        if self.no_double:
            return None
        try:
            with torch.inference_mode():
                double = torch.cat(answer(self._double), dim=1)
        except Exception as error:  # any that the network raises; in float32 it works
            self.no_double = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            return None
        if double.dtype != torch.float64:
            self.no_double = "the network answers in float32"
            return None
        values: Doubles = double.numpy()
        return values


def _moved(inputs: Inputs, seed: int) -> Inputs:
    """Features and four-vectors that are moved at random, by up to a part of 2^-22 of themselves, or of 1 if they are smaller.

    So features that are all 0, as a standardised NaN is, no longer tie. Padding stays 0. A whole number only grows away from 0:
    a network may truncate it to a category. pt and energy, of which networks take logarithms, move by a part of themselves.
    """
    random = torch.Generator().manual_seed(seed)
    moved: dict[str, dict[str, Tensor]] = {"features": {}, "vectors": {}}
    for kind, values in moved.items():
        for name, x in getattr(inputs, kind).items():
            step = _MOVE * (2 * torch.rand(x.shape, generator=random) - 1)
            if kind == "features":
                step = step * x.abs().clamp(min=1)
                step = torch.where((x == x.round()) & (x != 0), x.sign() * step.abs(), step)
            else:
                step = step * torch.maximum(x.abs(), x.new_tensor(_ANGLES))
            mask = inputs.masks.get(name)
            values[name] = x + (step if mask is None else torch.where(mask.unsqueeze(-1), step, 0.0))
    return inputs._replace(**moved)


def cases(test: Batches, contract: Contract, references: References) -> Iterator[Case]:
    """All cases, one after another; only those on the test split have a name that starts with `test split`."""

    def case(name: str, *batches: Branches, hostile: bool = False) -> Case:
        def answers(branches: Branches) -> Answers:
            spread = cache(partial(references.spread, branches)) if hostile else None
            return Answers(references.single(branches), spread=spread)

        return Case(name, ((branches, answers(branches)) for branches in batches), hostile)

    # one reference for all batch sizes: PyTorch with one example at a time would take most of the gate's time
    on_test = concatenated([references.answers(batch.branches) for batch in test])

    def test_batches(size: int, of: Tensor) -> Iterator[tuple[Branches, Answers]]:
        for rows in of.split(size):
            double = None if on_test.double is None else on_test.double[rows.numpy()]
            yield test.gather(rows).branches, Answers(on_test.single[rows.numpy()], double)

    largest = max(BATCH_SIZES)
    yield Case(f"test split, batch {largest}", test_batches(largest, torch.arange(test.n)), sessions="as deployed")
    for size in BATCH_SIZES:
        if size != largest:
            some = _spread(test.n, _IN_SMALL_BATCHES)
            yield Case(f"test split, {len(some)}, batch {size}", test_batches(size, some), sessions="model as deployed")
        some = _spread(test.n, _EVERYWHERE[size])
        yield Case(f"test split, {len(some)}, batch {size}, all sessions", test_batches(size, some))
    sample = test.gather(_spread(test.n, _SAMPLE)).branches
    jagged = {b: s.max_length for s in contract.layout.sets.values() for b in s.branches if s.max_length}
    if jagged:
        longest = max(jagged.values())
        for length in [*range(1, longest + 1), 2 * longest]:
            yield case(f"length {length}", _with_length(sample, jagged, length))
        empty = {b: torch.zeros_like(v) if b in jagged else v for b, v in sample.items()}
        yield case("empty sets", empty, {b: v[:, :1] for b, v in empty.items()})
        some = torch.arange(len(next(iter(sample.values())))) % 2 == 0
        yield case("every second set empty", {b: torch.where(some[:, None], v, empty[b]) for b, v in sample.items()})
    for branch in sample:
        for name, value in HOSTILE.items():
            yield case(
                f"{name} in {branch}", *(_with_value(sample, branch, value=value, every=every) for every in (1, 3)), hostile=True
            )
    for name, value in HOSTILE.items():
        yield case(f"{name} in every input", {b: torch.full_like(v, value) for b, v in sample.items()}, hostile=True)


def _spread(n: int, most: int) -> Tensor:
    """At most `most` of n rows, spread over all: the test split holds one sample after another."""
    return torch.linspace(0, n - 1, min(n, most), dtype=torch.float64).round().long()


def _with_length(sample: Branches, jagged: Mapping[str, int], length: int) -> Branches:
    """The examples with sets of `length`: cut, or filled up by repeating the constituents from the first on."""
    columns = torch.arange(length)
    return {b: v[:, columns % v.shape[1]] if b in jagged else v for b, v in sample.items()}


def _with_value(sample: Branches, branch: str, *, value: float, every: int) -> Branches:
    """The examples with `value` in one branch, in every `every`-th constituent or example."""
    changed = sample[branch].clone()
    flat = changed.view(-1)
    flat[::every] = value
    return {**sample, branch: changed}
