"""The parity gate: the exported model in ONNX Runtime releases against PyTorch, on real test examples and on hostile ones."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cyclotrain import config
from cyclotrain.batches import Batches
from cyclotrain.contract import Contract
from cyclotrain.dataset import read_split
from cyclotrain.models import Probabilities
from cyclotrain.provenance import atomic, file_sha256, read_json, write_json
from cyclotrain.runtime import CPU, Configuration, RuntimeProcess, providers
from cyclotrain.train import load_model

BATCH_SIZES = (1, 7, 1024)
OPTIMISATIONS = ("disable_all", "enable_basic", "enable_extended", "enable_all")
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
_FIRST = 1000  # examples in small batches in the sessions that are not as deployed
_COMPARED = 4096  # examples at a time
_log = logging.getLogger(__name__)

Array = npt.NDArray[np.float32]
Branches = Mapping[str, Tensor]
Reference = tuple[Branches, Array, npt.NDArray[np.float64] | None]
Key = tuple[str, Configuration]


@dataclass
class Comparison:
    """The largest differences of one case in one session, and where the absolute one is."""

    case: str
    runtime: str
    configuration: Configuration
    examples: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulps: int = 0
    worst_example: int = 0  # within the case
    finite: bool = True  # no NaN or infinity, and probabilities that sum to 1, on either side
    max_abs_float64: float | None = None  # from PyTorch in float64, where that was asked
    evidence: dict[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)

    def add(self, batches: Sequence[Branches], answer: Array, expected: Array, exact: npt.NDArray[np.float64] | None) -> None:
        """Compare answers [n, n_classes] to some batches with PyTorch's, in float32 and, if given, in float64."""
        with np.errstate(invalid="ignore"):
            difference = np.abs(answer.astype(np.float64) - expected)
            relative = difference / np.maximum(np.abs(expected), np.finfo(np.float32).tiny)
        good = np.isfinite(answer).all(1) & np.isfinite(expected).all(1) & (np.abs(answer.sum(1) - 1) < 1e-4)
        by_example = np.where(good, np.nan_to_num(difference.max(1), nan=np.inf), np.inf)
        row = int(by_example.argmax())
        if not self.evidence or (self.finite and by_example[row] > self.max_abs):
            self.worst_example = self.examples + row
            inputs = {f"input:{b}": v.numpy() for b, v in _example(batches, row).items()}
            self.evidence = {**inputs, "onnxruntime": answer[row : row + 1], "pytorch": expected[row : row + 1]}
        self.finite &= bool(good.all())
        if good.any():
            self.max_abs = max(self.max_abs, float(difference[good].max()))
            self.max_rel = max(self.max_rel, float(relative[good].max()))
            self.max_ulps = max(self.max_ulps, int(_ulps(answer[good], expected[good]).max()))
            if exact is not None:
                self.max_abs_float64 = max(self.max_abs_float64 or 0.0, float(np.abs(answer - exact)[good].max()))
        self.examples += len(answer)

    def passes(self, tolerance: float) -> bool:
        """Whether the case is within tolerance."""
        return self.finite and self.max_abs <= tolerance

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types, without the evidence."""
        return {name: value for name, value in asdict(self).items() if name != "evidence"}

    @property
    def badness(self) -> tuple[bool, float]:
        """What the worst case is the largest of."""
        return not self.finite, self.max_abs


@dataclass(frozen=True)
class Case:
    """Batches of branches with PyTorch's answers to them, in float32 and, for real examples, in float64."""

    name: str
    batches: Iterator[Reference]
    everywhere: bool = True  # else in the sessions that are as deployed: one thread, all optimisations


def verify(
    contract: Contract,
    model: config.Model,
    weights: str | Path,
    exported: str | Path,
    shards: Sequence[str],
    environments: Sequence[str | Path],
    tolerance: float,
    threads: int,
    result: str | Path,
    evidence: str | Path,
) -> bool:
    """Compare on every case in every session and write `result`; the worst failure's inputs and answers go to `evidence`.

    Sessions: the ONNX Runtime of this environment and those of `environments` (of runtime_environments.install), on every
    provider that there is, at every level of graph optimisation, on one and on `threads` threads. Cases: every example of
    the test split in batches of 1, 7 and 1024 (the small ones on one thread with all optimisations, as an event loop has
    them; in the other sessions for the first 1000 examples); every length of the sets from empty to beyond `max_length`;
    NaN, infinities, +-1e30 and denormals in every input. The reference is PyTorch in float32, eager, on the CPU; on the
    test split the distance to PyTorch in float64 is given beside it, to tell a difference from float32's own noise.
    """
    torch.set_num_threads(threads)
    installed = [read_json(path) for path in environments]
    not_run = [{"runtime": f"onnxruntime {e['version']}", "reason": e["reason"]} for e in installed if "reason" in e]
    pythons = [sys.executable, *(e["python"] for e in installed if "python" in e)]
    references = _References(contract, model, weights)
    test = Batches(read_split(shards, contract.layout, "test"), contract.layout, max(BATCH_SIZES))
    comparisons: list[Comparison] = []
    with ExitStack() as stack:
        runtimes = []
        for python in pythons:
            on = providers() if python == sys.executable else [CPU]
            made = stack.enter_context(RuntimeProcess(python, exported, _configurations(on, threads)))
            _check_inputs(made, contract)
            runtimes.append(made)
        for case in _cases(test, contract, references):
            comparisons += _compare(case, runtimes)
        whole = test.gather(torch.arange(min(max(BATCH_SIZES), test.n))).branches
        first, second = (_answers(whole, runtimes, everywhere=True) for _ in range(2))
        repeats = {key: first[key].tobytes() == second[key].tobytes() for key in first}
    failed = [c for c in comparisons if not c.passes(tolerance)]
    if failed:
        worst = max(failed, key=lambda c: c.badness)
        with atomic(evidence) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, case=np.array(describe(worst, tolerance)), **worst.evidence)
    by_case: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_case.setdefault(c.case, []).append(c)
    on_test = [c for c in comparisons if c.case.startswith("test split")]
    write_json(
        result,
        {
            "passed": not failed,
            "tolerance": tolerance,
            "model_sha256": file_sha256(exported),
            "reference": f"torch {torch.__version__}, eager, float32, CPU",
            "runtimes": [f"onnxruntime {made.version}" for made in runtimes],
            "not_run": not_run,
            "test_examples": on_test[0].examples,
            "max_abs": max(c.max_abs for c in on_test),
            "max_abs_all_cases": max(c.max_abs for c in comparisons),
            "max_abs_float64": {
                "onnxruntime": max(c.max_abs_float64 or 0.0 for c in on_test),
                "torch, float32": references.noise,
            },
            "failed": [describe(c, tolerance) for c in failed],
            "evidence": str(evidence) if failed else None,
            "matrix": [_row(key, comparisons, repeats[key], tolerance) for key in repeats],
            "cases": [max(of, key=lambda c: c.badness).to_dict() for of in by_case.values()],
        },
    )
    for c in failed[:20]:
        _log.error(describe(c, tolerance))
    largest = max(c.max_abs for c in comparisons)
    passed = len(comparisons) - len(failed)
    _log.info("%d of %d comparisons within %g; largest difference %.2g", passed, len(comparisons), tolerance, largest)
    for line in not_run:
        _log.warning("%s was not run: %s", line["runtime"], line["reason"])
    return not failed


def describe(c: Comparison, tolerance: float) -> str:
    """A failed case in words."""
    where = f"{c.case} ({c.runtime}; {c.configuration})"
    if not c.finite:
        return f"{where}: an answer is not a probability, at example {c.worst_example}"
    return f"{where}: differs by {c.max_abs:.3g} (tolerance {tolerance:g}) at example {c.worst_example}"


def _configurations(on: Sequence[str], threads: int) -> list[Configuration]:
    return [
        Configuration(provider, optimisation, n)
        for provider in on
        for n in sorted({1, threads})
        for optimisation in OPTIMISATIONS
    ]


def _row(key: Key, comparisons: Sequence[Comparison], repeats: bool, tolerance: float) -> dict[str, Any]:
    """One session's line of the matrix."""
    of = [c for c in comparisons if (c.runtime, c.configuration) == key]
    on_test = [c for c in of if c.case.startswith("test split")]
    return {
        "runtime": key[0],
        **key[1].to_dict(),
        "max_abs": max(c.max_abs for c in on_test),
        "max_rel": max(c.max_rel for c in on_test),
        "max_ulps": max(c.max_ulps for c in on_test),
        "max_abs_float64": max(c.max_abs_float64 or 0.0 for c in on_test),
        "max_abs_all_cases": max(c.max_abs for c in of),
        "worst_case": max(of, key=lambda c: c.badness).case,
        "cases": len(of),
        "cases_failed": sum(not c.passes(tolerance) for c in of),
        "bitwise_repeatable": repeats,
    }


def _check_inputs(made: RuntimeProcess, contract: Contract) -> None:
    expected: dict[str, list[Any]] = {b: ["batch", name or 1] for b, name in contract.layout.inputs.items()}
    if made.inputs != expected:
        raise ValueError(f"the exported model takes {made.inputs}, and the contract says {expected}")


class _References:
    """PyTorch's answers, eager and on the CPU."""

    def __init__(self, contract: Contract, model: config.Model, weights: str | Path) -> None:
        self._single = Probabilities(load_model(contract, model, weights)).eval()
        self._double = Probabilities(load_model(contract, model, weights)).eval().double()
        self.noise = 0.0  # largest distance of float32 from float64

    def single(self, branches: Branches) -> Array:
        with torch.inference_mode():
            answer: Array = self._single(branches).numpy()
        return answer

    def both(self, branches: Branches) -> tuple[Array, npt.NDArray[np.float64]]:
        single = self.single(branches)
        with torch.inference_mode():
            double: npt.NDArray[np.float64] = self._double({b: v.double() for b, v in branches.items()}).numpy()
        self.noise = max(self.noise, float(np.abs(single - double).max()))
        return single, double


def _cases(test: Batches, contract: Contract, references: _References) -> Iterator[Case]:
    def case(name: str, *batches: Branches) -> Case:
        return Case(name, ((branches, references.single(branches), None) for branches in batches))

    # One reference for all batch sizes, as PyTorch one example at a time would take most of the gate's time.
    single, double = (np.concatenate(of) for of in zip(*(references.both(batch.branches) for batch in test), strict=True))

    def of_test(size: int, n: int) -> Iterator[Reference]:
        for rows in torch.arange(n).split(size):
            yield test.gather(rows).branches, single[rows.numpy()], double[rows.numpy()]

    first = min(_FIRST, test.n)
    for size in BATCH_SIZES:
        is_large = size == max(BATCH_SIZES)
        yield Case(f"test split, batch {size}", of_test(size, test.n), everywhere=is_large)
        if not is_large:
            yield Case(f"first {first} of the test split, batch {size}", of_test(size, first))
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
            yield case(f"{name} in {branch}", *(_with_value(sample, branch, value, every) for every in (1, 3)))
    for name, value in HOSTILE.items():
        yield case(f"{name} in every input", {b: torch.full_like(v, value) for b, v in sample.items()})


def _with_length(sample: Branches, jagged: Mapping[str, int], length: int) -> Branches:
    """Cut to `length`; beyond what there is, the constituents again from the first."""
    columns = torch.arange(length)
    return {b: v[:, columns % v.shape[1]] if b in jagged else v for b, v in sample.items()}


def _with_value(sample: Branches, branch: str, value: float, every: int) -> Branches:
    """The value in one branch: in each example, or in every third constituent or example."""
    changed = sample[branch].clone()
    flat = changed.view(-1)
    flat[::every] = value
    return {**sample, branch: changed}


def _answers(branches: Branches, runtimes: Sequence[RuntimeProcess], everywhere: bool) -> dict[Key, Array]:
    """Each session's answers; the runtimes work side by side."""
    for made in runtimes:
        as_deployed = [c for c in made.configurations if everywhere or (c.optimisation, c.threads) == ("enable_all", 1)]
        made.ask(branches, as_deployed)
    return {(f"onnxruntime {made.version}", c): answer for made in runtimes for c, answer in made.answers().items()}


def _compare(case: Case, runtimes: Sequence[RuntimeProcess]) -> list[Comparison]:
    comparisons: dict[Key, Comparison] = {}
    waiting: list[Reference] = []
    answers: dict[Key, list[Array]] = {}

    def compare() -> None:
        batches, expected, exact = zip(*waiting, strict=True)
        double = None if exact[0] is None else np.concatenate(exact)
        for key, of_session in answers.items():
            comparison = comparisons.setdefault(key, Comparison(case.name, *key))
            comparison.add(batches, np.concatenate(of_session), np.concatenate(expected), double)
        waiting.clear()
        answers.clear()

    for reference in case.batches:
        waiting.append(reference)
        for key, answer in _answers(reference[0], runtimes, case.everywhere).items():
            answers.setdefault(key, []).append(answer)
        if len(waiting) * len(reference[1]) >= _COMPARED:
            compare()
    if waiting:
        compare()
    return list(comparisons.values())


def _example(batches: Sequence[Branches], row: int) -> Branches:
    """One example, counted through the batches."""
    for branches in batches:
        n = len(next(iter(branches.values())))
        if row < n:
            return {b: v[row : row + 1] for b, v in branches.items()}
        row -= n
    raise IndexError(row)


def _ulps(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Distance in units in the last place: how many float32 lie between a and b (both not negative)."""
    distance: npt.NDArray[np.int64] = np.abs(a.view(np.int32).astype(np.int64) - b.view(np.int32).astype(np.int64))
    return distance


def failure(content: Mapping[str, Any]) -> str:
    """What the gate says of a verification.json that failed."""
    failed = content["failed"]
    more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
    return (
        "\n  ".join(["the exported model does not agree with PyTorch:", *failed[:5]])
        + more
        + f"\nEvidence: {content['evidence']}"
    )
