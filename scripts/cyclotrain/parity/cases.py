"""The cases of the parity gate: the whole test split, every length of the sets, and hostile values in every input."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.data.batches import Batches
from cyclotrain.networks.registry import Probabilities, load_model
from cyclotrain.parity.comparison import Array, Branches

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
_SAMPLE = 64  # examples of the test split for each length and each hostile value
_FIRST = 1000  # examples in small batches for all sessions; only the deployed ones see the whole test split in small batches

Reference = tuple[Branches, Array, npt.NDArray[np.float64] | None]


@dataclass(frozen=True)
class Case:
    """Batches of branches with PyTorch's answers in float32 and, for real examples, in float64."""

    name: str
    batches: Iterator[Reference]
    hostile: bool = False  # values that no detector can give
    everywhere: bool = True  # False: only for the model as deployed, with one thread and all optimisations


class References:
    """PyTorch's answers, eager and on the CPU."""

    def __init__(self, contract: Contract, model: config.ModelConfig, weights: str | Path) -> None:
        self._single = Probabilities(load_model(contract, model, weights)).eval()
        self._double = Probabilities(load_model(contract, model, weights)).eval().double()
        self.features = self._single.model.features
        self.noise = 0.0  # largest difference between float32 and float64

    def single(self, branches: Branches) -> Array:
        """Probabilities [B, n_classes] in float32."""
        with torch.inference_mode():
            answer: Array = self._single(branches).numpy()
        return answer

    def both(self, branches: Branches) -> tuple[Array, npt.NDArray[np.float64]]:
        """Probabilities [B, n_classes] in float32 and in float64."""
        single = self.single(branches)
        with torch.inference_mode():
            double: npt.NDArray[np.float64] = self._double({b: v.double() for b, v in branches.items()}).numpy()
        self.noise = max(self.noise, float(np.abs(single - double).max()))
        return single, double


def cases(test: Batches, contract: Contract, references: References) -> Iterator[Case]:
    """All cases, one after another; only those on the whole test split have a name that starts with `test split`."""

    def case(name: str, *batches: Branches, hostile: bool = False) -> Case:
        return Case(name, ((branches, references.single(branches), None) for branches in batches), hostile)

    # one reference for all batch sizes: PyTorch with one example at a time would take most of the gate's time
    answers = (references.both(batch.branches) for batch in test)
    single, double = (np.concatenate(parts) for parts in zip(*answers, strict=True))

    def test_batches(size: int, n: int) -> Iterator[Reference]:
        for rows in torch.arange(n).split(size):
            yield test.gather(rows).branches, single[rows.numpy()], double[rows.numpy()]

    first = min(_FIRST, test.n)
    for size in BATCH_SIZES:
        is_large = size == max(BATCH_SIZES)
        yield Case(f"test split, batch {size}", test_batches(size, test.n), everywhere=is_large)
        if not is_large:
            yield Case(f"first {first} of the test split, batch {size}", test_batches(size, first))
    sample = test.gather(torch.arange(min(_SAMPLE, test.n))).branches
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
