"""Parity: the exported files in ONNX Runtime releases and LibTorch against PyTorch, on real test examples and hostile ones."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from cyclotrain.contract import Contract
from cyclotrain.contract.results import (
    AOT_INDUCTOR,
    MODEL,
    TORCHSCRIPT,
    CaseParity,
    Float64Distance,
    ParityFailure,
    SessionParity,
    Verification,
)
from cyclotrain.core.files import atomic, file_sha256
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.parity.artefacts import Artefact, Backend, Deployed, Runtimes, open_artefacts
from cyclotrain.parity.cases import BATCH_SIZES, Case, References, cases
from cyclotrain.parity.comparison import Answers, Array, Branches, Comparison, Session, concatenated

_WHOLE = (MODEL, TORCHSCRIPT, *AOT_INDUCTOR)  # artefacts that answer in every case
_COMPARED = 4096  # examples at a time
_log = logging.getLogger(__name__)


def verify(
    contract: Contract,
    reference: References,
    artefacts: Sequence[Artefact],
    *,
    shards: Sequence[str],
    runtimes: Runtimes,
    evidence: str | Path,
) -> Verification:
    """Compare on every case in every session; the worst failure's inputs and answers go to `evidence` (.npz).

    The first artefact is the model. Its sessions: the ONNX Runtime of this environment and the other releases, at every level
    of graph optimisation, on one thread and on several; on a GPU, if there is one, in float32 at every level, and once rounded
    to TF32, which is ONNX Runtime's default there and has a tolerance of its own. TorchScript runs in this process's LibTorch
    and in the other releases, as loaded and frozen, on one thread and on several; a compiled model in those that load it, where
    this machine's processor has its instructions, on one thread and in several at once. The other artefacts are tried as
    deployed: one thread, all optimisations. Cases: every example of the test split in batches of 1024 as deployed; a part of it
    in batches of 1 and 7, and a part in all sessions (see `cases`); every length of the sets from empty to beyond `max_length`;
    NaN, infinities, +-1e30 and denormals in every input. All outputs count, regressed quantities in the units of
    `metrics.distance`. The reference is PyTorch in float32, eager, on the CPU; on the test split the distance to PyTorch in
    float64 is given beside it, to tell a difference from the noise of float32. Hostile inputs always need a probability and
    finite quantities, and PyTorch's where its answer is defined (see `comparison.Answers`).
    """
    start = time.perf_counter()
    torch.set_num_threads(runtimes.threads)
    test = Batches(read_split(shards, contract, "test"), contract.layout, max(BATCH_SIZES))
    comparisons: list[Comparison] = []
    with ExitStack() as stack:
        opened = open_artefacts(artefacts, contract, reference.features, runtimes=runtimes, stack=stack)
        for case in cases(test, contract, reference):
            comparisons += _compare(case, opened.deployed, contract.scales, at_once=runtimes.threads)
        whole = test.gather(torch.arange(min(max(BATCH_SIZES), test.n))).branches
        first, second = (_answers(whole, opened.deployed, "all", at_once=runtimes.threads) for _ in range(2))
        repeats = {session: first[session].tobytes() == second[session].tobytes() for session in first}
    failed = [comparison for comparison in comparisons if not comparison.passes]
    if failed:
        _write_evidence(max(failed, key=lambda comparison: comparison.badness), evidence)
    failures = [*opened.not_loaded, *map(_failure, failed)]
    model = [c for c in comparisons if c.session.artefact == MODEL and not c.session.configuration.tf32]
    model_on_test = _on_test(model)
    largest = max(c.max_abs for c in model)
    _log.info(
        "%d of %d comparisons within tolerance, the model's largest difference is %.2g; %.1f s",
        len(comparisons) - len(failed), len(comparisons), largest, time.perf_counter() - start,
    )  # fmt: skip
    for line in opened.not_run:
        _log.warning("%s was not run: %s", line.runtime, line.reason)
    return Verification(
        tolerance=artefacts[0].tolerance,
        model_sha256=file_sha256(artefacts[0].path),
        reference=f"torch {torch.__version__}, eager, float32, CPU",
        runtimes=tuple(dict.fromkeys(session.runtime for session in repeats if session.artefact == MODEL)),
        not_run=opened.not_run,
        test_examples=test.n,
        max_abs=max(c.max_abs for c in model_on_test),
        max_abs_all_cases=largest,
        max_abs_float64=None
        if reference.no_double
        else Float64Distance(onnxruntime=max(c.max_abs_float64 or 0.0 for c in model_on_test), torch_float32=reference.noise),
        no_float64=reference.no_double,
        failures=tuple(failures),
        evidence=str(evidence) if failed else None,
        matrix=tuple(_row(session, comparisons, repeats[session]) for session in repeats),
        cases=tuple(_worst_of_each_case(model)),
    )


def _failure(comparison: Comparison) -> ParityFailure:
    session = comparison.session
    return ParityFailure(artefact=session.artefact, message=str(comparison), tf32=session.configuration.tf32)


def _write_evidence(worst: Comparison, path: str | Path) -> None:
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, case=np.array(str(worst)), **worst.evidence)


def _worst_of_each_case(comparisons: Iterable[Comparison]) -> Iterator[CaseParity]:
    by_case: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_case.setdefault(comparison.case, []).append(comparison)
    for several in by_case.values():
        worst = max(several, key=lambda comparison: comparison.badness).to_dict()
        yield CaseParity(**{**worst, "undefined": max(comparison.undefined for comparison in several)})


def _on_test(comparisons: Iterable[Comparison]) -> list[Comparison]:
    return [c for c in comparisons if c.case.startswith("test split")]


def _row(session: Session, comparisons: Sequence[Comparison], repeats: bool) -> SessionParity:
    """One session's line of the matrix."""
    rows = [c for c in comparisons if c.session == session]
    on_test = _on_test(rows)
    return SessionParity(
        **session.to_dict(),
        tolerance=rows[0].tolerance,
        hostile_tolerance=max(c.tolerance for c in rows),
        finite=all(c.finite for c in rows),
        max_abs=max(c.max_abs for c in on_test),
        max_rel=max(c.max_rel for c in on_test),
        max_ulps=max(c.max_ulps for c in on_test),
        max_abs_float64=max((c.max_abs_float64 for c in on_test if c.max_abs_float64 is not None), default=None),
        max_abs_all_cases=max(c.max_abs for c in rows),
        worst_case=max(rows, key=lambda c: c.badness).case,
        cases=len(rows),
        cases_failed=sum(not c.passes for c in rows),
        bitwise_repeatable=repeats,
    )


def _answers(branches: Branches, deployed: Sequence[Deployed], sessions: str, *, at_once: int) -> dict[Session, Array]:
    """The answers of some sessions, as `Case.sessions` names them; `at_once` runtimes work side by side, to save memory."""
    answers: dict[Session, Array] = {}
    working: deque[tuple[Artefact, Backend]] = deque()

    def receive() -> None:
        artefact, backend = working.popleft()
        for configuration, answer in backend.answers().items():
            answers[Session(artefact.name, backend.runtime, configuration)] = answer

    taking_part = [one for one in deployed if sessions != "model as deployed" or one.artefact.name in _WHOLE]
    for one in taking_part:
        inputs = one.inputs(branches)
        for backend in one.backends:
            if len(working) == at_once:
                receive()
            as_deployed = [c for c in backend.configurations if (c.optimisation, c.threads) == ("enable_all", 1)]
            backend.ask(inputs, backend.configurations if sessions == "all" else as_deployed)
            working.append((one.artefact, backend))
    while working:
        receive()
    return answers


def _compare(case: Case, deployed: Sequence[Deployed], scales: tuple[float, ...], *, at_once: int) -> list[Comparison]:
    artefacts = {one.artefact.name: one.artefact for one in deployed}
    comparisons: dict[Session, Comparison] = {}
    waiting: list[tuple[Branches, Answers]] = []
    answers: dict[Session, list[Array]] = {}

    def compare() -> None:
        batches, references = zip(*waiting, strict=True)
        reference = concatenated(references)
        for session, parts in answers.items():
            tolerance = artefacts[session.artefact].tolerance_of(case, session.configuration)
            comparison = comparisons.setdefault(session, Comparison(case.name, session, tolerance, case.hostile, scales))
            comparison.add(batches, answer=np.concatenate(parts), reference=reference)
        waiting.clear()
        answers.clear()

    for branches, expected in case.batches:
        waiting.append((branches, expected))
        for session, answer in _answers(branches, deployed, case.sessions, at_once=at_once).items():
            answers.setdefault(session, []).append(answer)
        if len(waiting) * len(expected.single) >= _COMPARED:
            compare()
    if waiting:
        compare()
    return list(comparisons.values())
