"""The parity gate: the exported model in ONNX Runtime against PyTorch, on real test examples and on hostile ones."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
from torch import Tensor

from cyclotrain import config
from cyclotrain.batches import Batches
from cyclotrain.contract import Contract
from cyclotrain.dataset import read_split
from cyclotrain.models import Probabilities
from cyclotrain.provenance import atomic, file_sha256, write_json
from cyclotrain.runtime import providers, run, session
from cyclotrain.train import load_model

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
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """The largest differences of one case, and where the absolute one is."""

    case: str
    provider: str
    examples: int
    max_abs: float
    max_rel: float
    max_ulps: int
    worst_example: int  # within the case
    finite: bool  # no NaN or infinity, and probabilities that sum to 1, on either side

    def passes(self, tolerance: float) -> bool:
        """Whether the case is within tolerance."""
        return self.finite and self.max_abs <= tolerance


Branches = Mapping[str, Tensor]
Pair = tuple[Branches, npt.NDArray[np.float32]]


def verify(
    contract: Contract,
    model: config.Model,
    weights: str | Path,
    exported: str | Path,
    shards: Sequence[str],
    tolerance: float,
    threads: int,
    result: str | Path,
    evidence: str | Path,
) -> bool:
    """Compare on every case and write `result`; where one fails, its inputs and both answers go to `evidence` (.npz).

    Cases: every example of the test split in batches of 1, 7 and 1024; every length of the sets from empty to beyond
    `max_length`; NaN, infinities, +-1e30 and denormals in every input. The reference is PyTorch in float32, eager.
    """
    torch.set_num_threads(threads)
    reference = Probabilities(load_model(contract, model, weights)).eval()
    test = Batches(read_split(shards, contract.layout, "test"), contract.layout, max(BATCH_SIZES))
    comparisons, worst = [], None
    for provider in providers():
        made = session(exported, threads, provider)
        _check_inputs(made, contract)
        for case, batches in _cases(test, contract, reference):
            comparison, sample = _compare(case, provider, batches, made)
            comparisons.append(comparison)
            if not comparison.passes(tolerance) and (worst is None or not comparison.max_abs <= worst[0].max_abs):
                worst = comparison, sample
    failed = [c for c in comparisons if not c.passes(tolerance)]
    if worst:
        with atomic(evidence) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **worst[1])
    on_test = [c for c in comparisons if c.case.startswith("test split")]
    write_json(
        result,
        {
            "passed": not failed,
            "tolerance": tolerance,
            "model_sha256": file_sha256(exported),
            "runtime": f"onnxruntime {ort.__version__}",
            "reference": f"torch {torch.__version__}, eager, float32, CPU",
            "providers": providers(),
            "test_examples": on_test[0].examples,
            "max_abs": max(c.max_abs for c in on_test),
            "max_abs_all_cases": max(c.max_abs for c in comparisons),
            "failed": [c.case for c in failed],
            "evidence": str(evidence) if worst else None,
            "cases": [asdict(c) for c in comparisons],
        },
    )
    for c in failed:
        _log.error(describe(c, tolerance))
    largest = max(c.max_abs for c in comparisons)
    passed = len(comparisons) - len(failed)
    _log.info("%d of %d cases within %g; largest difference %.2g", passed, len(comparisons), tolerance, largest)
    return not failed


def describe(c: Comparison, tolerance: float) -> str:
    """A failed case in words."""
    if not c.finite:
        return f"{c.case} ({c.provider}): an answer is not a probability, at example {c.worst_example}"
    return f"{c.case} ({c.provider}): differs by {c.max_abs:.3g} (tolerance {tolerance:g}) at example {c.worst_example}"


def _check_inputs(made: ort.InferenceSession, contract: Contract) -> None:
    found = {i.name: i.shape for i in made.get_inputs()}
    expected: dict[str, list[Any]] = {b: ["batch", name or 1] for b, name in contract.layout.inputs.items()}
    if found != expected:
        raise ValueError(f"the exported model takes {found}, and the contract says {expected}")


def _cases(test: Batches, contract: Contract, reference: Probabilities) -> Iterator[tuple[str, Iterator[Pair]]]:
    """Each case with its batches of branches and PyTorch's answers to them."""

    def pairs(*batches: Branches) -> Iterator[Pair]:
        for branches in batches:
            yield branches, _answer(reference, branches)

    # One reference for all batch sizes, as PyTorch one example at a time would take most of the gate's time.
    expected = np.concatenate([_answer(reference, batch.branches) for batch in test])
    for size in BATCH_SIZES:
        test.batch_size = size
        answers = np.split(expected, range(size, len(expected), size))
        yield f"test split, batch {size}", zip((batch.branches for batch in test), answers, strict=True)
    sample = test.gather(torch.arange(min(_SAMPLE, test.n))).branches
    jagged = {b: s.max_length for s in contract.layout.sets.values() for b in s.branches if s.max_length}
    if jagged:
        longest = max(jagged.values())
        for length in [*range(1, longest + 1), 2 * longest]:
            yield f"length {length}", pairs(_with_length(sample, jagged, length))
        empty = {b: torch.zeros_like(v) if b in jagged else v for b, v in sample.items()}
        yield "empty sets", pairs(empty, {b: v[:, :1] for b, v in empty.items()})
        some = torch.arange(len(next(iter(sample.values())))) % 2 == 0
        yield "every second set empty", pairs({b: torch.where(some[:, None], v, empty[b]) for b, v in sample.items()})
    for branch in sample:
        for name, value in HOSTILE.items():
            changed = [_with_value(sample, branch, value, every) for every in (1, 3)]
            yield f"{name} in {branch}", pairs(*changed)
    for name, value in HOSTILE.items():
        yield f"{name} in every input", pairs({b: torch.full_like(v, value) for b, v in sample.items()})


def _answer(reference: Probabilities, branches: Branches) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        answer: npt.NDArray[np.float32] = reference(branches).numpy()
    return answer


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


def _compare(
    case: str, provider: str, batches: Iterator[Pair], made: ort.InferenceSession
) -> tuple[Comparison, dict[str, npt.NDArray[Any]]]:
    largest = dict.fromkeys(("abs", "rel", "ulps"), 0.0)
    worst, finite, n = 0, True, 0
    sample: dict[str, npt.NDArray[Any]] = {}
    for branches, expected in batches:
        answer = run(made, branches)
        with np.errstate(invalid="ignore"):
            difference = np.abs(answer.astype(np.float64) - expected)
            relative = difference / np.maximum(np.abs(expected), np.finfo(np.float32).tiny)
        good = np.isfinite(answer).all(1) & np.isfinite(expected).all(1) & (np.abs(answer.sum(1) - 1) < 1e-4)
        by_example = np.where(good, np.nan_to_num(difference.max(1), nan=np.inf), np.inf)
        row = int(by_example.argmax())
        if not sample or (finite and by_example[row] > largest["abs"]):
            worst = n + row
            inputs = {f"input:{b}": v[row : row + 1].numpy() for b, v in branches.items()}
            sample = {
                **inputs,
                "onnxruntime": answer[row : row + 1],
                "pytorch": expected[row : row + 1],
                "case": np.array(case),
            }
        finite &= bool(good.all())
        if good.any():
            largest["abs"] = max(largest["abs"], float(difference[good].max()))
            largest["rel"] = max(largest["rel"], float(relative[good].max()))
            largest["ulps"] = max(largest["ulps"], int(_ulps(answer[good], expected[good]).max()))
        n += len(answer)
    return Comparison(case, provider, n, largest["abs"], largest["rel"], int(largest["ulps"]), worst, finite), sample


def _ulps(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Distance in units in the last place: how many float32 lie between a and b (both not negative)."""
    distance: npt.NDArray[np.int64] = np.abs(a.view(np.int32).astype(np.int64) - b.view(np.int32).astype(np.int64))
    return distance


def failure(content: Mapping[str, Any]) -> str:
    """What the gate says of a verification.json that failed."""
    bad = [Comparison(**c) for c in content["cases"] if c["case"] in content["failed"]]
    lines = [describe(c, content["tolerance"]) for c in bad[:5]]
    more = f"\n  and {len(bad) - 5} cases more" if len(bad) > 5 else ""
    return "\n  ".join(["the exported model does not agree with PyTorch:", *lines]) + more + f"\nEvidence: {content['evidence']}"
