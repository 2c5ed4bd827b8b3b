"""How far the answers of ONNX Runtime are from those of PyTorch, and where."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cyclotrain.metrics.distance import distance
from cyclotrain.runtimes.sessions import Configuration

Array = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Branches = Mapping[str, Tensor]

# An answer is defined if PyTorch's own change by less than this part of the tolerance when only the rounding changes.
_SAFETY = 0.25


@dataclass(frozen=True)
class Answers:
    """PyTorch's answers to some examples, all outputs side by side: `single` [n, n_columns] in float32, `double` [n, n_columns]
    in float64 where known.

    `spread`, for hostile inputs only, computes by how much PyTorch's own answer changes with the rounding of its features [n]. It
    takes many runs of the network, so it is called only where a runtime's answer is beyond the tolerance.
    """

    single: Array
    double: Doubles | None = None
    spread: Callable[[], Doubles] | None = None


def concatenated(parts: Sequence[Answers]) -> Answers:
    """The answers to several batches, one after another."""

    single = np.concatenate([part.single for part in parts])
    doubles = [part.double for part in parts if part.double is not None]
    spreads = [part.spread for part in parts if part.spread is not None]
    return Answers(
        single,
        np.concatenate(doubles) if len(doubles) == len(parts) else None,
        (lambda: np.concatenate([spread() for spread in spreads])) if spreads else None,
    )


@dataclass(frozen=True)
class Session:
    """An artefact (`model`, or a file made beside it) in a release of a runtime, and the configuration of its session."""

    artefact: str
    runtime: str
    configuration: Configuration

    def __str__(self) -> str:
        artefact = "" if self.artefact == "model" else f"{self.artefact}; "
        return f"{artefact}{self.runtime}; {self.configuration}"

    def to_dict(self) -> dict[str, Any]:
        """As plain types."""
        return {"artefact": self.artefact, "runtime": self.runtime, **self.configuration.to_dict()}


@dataclass
class Comparison:
    """The largest differences of one case in one session, and the example with the largest one.

    `scales`: of the last columns, those of regressed quantities, whose differences are in units of `metrics.distance`.
    """

    case: str
    session: Session
    tolerance: float
    hostile: bool = False
    scales: tuple[float, ...] = ()
    examples: int = 0
    undefined: int = 0  # hostile examples beyond the tolerance that have no defined answer; their difference does not count
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulps: int = 0
    worst_example: int = 0  # its index in the case
    finite: bool = True  # on both sides no NaN or infinity, and probabilities, if there are any, that sum to 1
    finite_in_pytorch: bool = True
    max_abs_float64: float | None = None  # difference from PyTorch in float64; None if the case has no such reference
    evidence: dict[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)

    def add(self, batches: Sequence[Branches], *, answer: Array, reference: Answers) -> None:
        """Add the `answer` [n, n_columns] to some batches, and PyTorch's.

        Where no answer is defined, it must be finite and have probabilities, but may differ from PyTorch's.
        """
        expected = reference.single
        n_classes = expected.shape[1] - len(self.scales)
        probabilities = slice(n_classes)  # of these alone, relative differences and ULPs say more than the difference
        with np.errstate(invalid="ignore"):
            difference = distance(answer, expected, self.scales)
            size = np.maximum(np.abs(expected[:, probabilities]), np.finfo(np.float32).tiny)
            relative = np.hstack([difference[:, probabilities] / size, difference[:, n_classes:]])
        good = np.isfinite(answer).all(1) & np.isfinite(expected).all(1)
        if n_classes:
            good &= np.abs(answer[:, probabilities].sum(1) - 1) < 1e-4
        undefined = good & (difference.max(1) > self.tolerance)
        if reference.spread is None:
            undefined[:] = False
        elif undefined.any():
            undefined &= reference.spread() > _SAFETY * self.tolerance
        compared = good & ~undefined
        by_example = np.where(good, np.where(undefined, 0.0, difference.max(1)), np.inf)
        row = int(by_example.argmax())
        if not self.evidence or (self.finite and by_example[row] > self.max_abs):
            self.worst_example = self.examples + row
            inputs = {f"input:{b}": v.numpy() for b, v in _example(batches, row).items()}
            self.evidence = {**inputs, "onnxruntime": answer[row : row + 1], "pytorch": expected[row : row + 1]}
        self.finite &= bool(good.all())
        self.finite_in_pytorch &= bool(np.isfinite(expected).all())
        self.undefined += int(undefined.sum())
        if compared.any():
            self.max_abs = max(self.max_abs, float(difference[compared].max()))
            self.max_rel = max(self.max_rel, float(relative[compared].max()))
            if n_classes:
                ulps = _ulps(answer[compared, probabilities], expected[compared, probabilities])
                self.max_ulps = max(self.max_ulps, int(ulps.max()))
            if reference.double is not None:
                from_double = distance(answer, reference.double, self.scales)
                self.max_abs_float64 = max(self.max_abs_float64 or 0.0, float(from_double[compared].max()))
        self.examples += len(answer)

    @property
    def passes(self) -> bool:
        """Whether the case is within tolerance."""
        return self.finite and self.max_abs <= self.tolerance

    def __str__(self) -> str:
        where = f"{self.case} ({self.session})"
        if not self.finite_in_pytorch:
            return (
                f"{where}: PyTorch itself gives NaN or infinity, at example {self.worst_example}; limit the features with "
                "`clip`, or change the network"
            )
        if not self.finite:
            not_finite = "NaN or infinite, or " if self.scales else ""
            return f"{where}: an answer is {not_finite}not a probability, at example {self.worst_example}"
        return f"{where}: differs by {self.max_abs:.3g} (tolerance {self.tolerance:g}) at example {self.worst_example}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types, without the evidence."""
        hidden = ("session", "scales", "finite_in_pytorch", "evidence")
        figures = {name: value for name, value in asdict(self).items() if name not in hidden}
        return {**figures, **self.session.to_dict()}

    @property
    def badness(self) -> tuple[bool, float]:
        """Sorts comparisons from the best to the worst."""
        return not self.finite, self.max_abs


def _example(batches: Sequence[Branches], row: int) -> Branches:
    """The example `row`, counted over all batches."""
    for branches in batches:
        n = len(next(iter(branches.values())))
        if row < n:
            return {b: v[row : row + 1] for b, v in branches.items()}
        row -= n
    raise IndexError(row)


def _ulps(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Distance in units in the last place: the number of float32 steps between a and b, neither of them negative."""
    distance: npt.NDArray[np.int64] = np.abs(a.view(np.int32).astype(np.int64) - b.view(np.int32).astype(np.int64))
    return distance
