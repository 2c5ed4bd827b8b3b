"""Parity: the exported files in ONNX Runtime releases and LibTorch against PyTorch, on real test examples and hostile ones."""

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from cyclotrain.contract import Contract, Layout
from cyclotrain.contract.metadata import METADATA_PREFIX
from cyclotrain.contract.results import (
    AOT_INDUCTOR,
    FCCANALYSES,
    MODEL,
    TORCHSCRIPT,
    CaseParity,
    Float64Distance,
    ParityFailure,
    RuntimeNotRun,
    SessionParity,
    Verification,
)
from cyclotrain.core.files import atomic, file_sha256, read_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.export import cmssw_preprocess, weaver_interface
from cyclotrain.networks.devices import gpus
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.parity.cases import BATCH_SIZES, Case, References, cases
from cyclotrain.parity.comparison import Answers, Array, Branches, Comparison, Session, concatenated
from cyclotrain.runtimes.aot_inductor import AotInductorPackage
from cyclotrain.runtimes.environments import installed
from cyclotrain.runtimes.instruction_sets import level_of, missing
from cyclotrain.runtimes.libtorch import LibTorchProcess
from cyclotrain.runtimes.sessions import CPU, CUDA, Configuration, RuntimeProcess
from cyclotrain.runtimes.targets import runs_aot_inductor
from cyclotrain.runtimes.torchscript import TorchScriptModules

OPTIMISATIONS = ("disable_all", "enable_basic", "enable_extended", "enable_all")
_Backend = RuntimeProcess | TorchScriptModules | AotInductorPackage | LibTorchProcess
_WHOLE = (MODEL, TORCHSCRIPT, *AOT_INDUCTOR)  # artefacts that answer in every case
_COMPARED = 4096  # examples at a time
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artefact:
    """A file that must give the model's answers within a tolerance; `model` is the exported model itself.

    It takes branches, or the features that `preprocess`, a JSON of CMSSW or of WeaverInterface, prepares. Other tolerances:
    `hostile_tolerance` where inputs are hostile, `tf32_tolerance` where a GPU rounds to TF32.
    """

    name: str
    path: str
    tolerance: float
    preprocess: str | None = None
    hostile_tolerance: float | None = None
    tf32_tolerance: float | None = None

    def tolerance_of(self, case: Case, configuration: Configuration) -> float:
        """The tolerance of one case in one session."""
        if configuration.tf32 and self.tf32_tolerance is not None:
            return self.tf32_tolerance
        return self.hostile_tolerance if case.hostile and self.hostile_tolerance is not None else self.tolerance


@dataclass(frozen=True)
class _Deployed:
    """An artefact in all runtimes that load it, and how branches become its inputs."""

    artefact: Artefact
    inputs: Callable[[Branches], Branches]
    backends: list[_Backend]


@dataclass(frozen=True)
class Runtimes:
    """Where the artefacts are tried: besides ONNX Runtime and LibTorch of this environment, in those of other releases.

    `environments` and `libtorch`: what `install` and `install_libtorch` of runtimes.environments wrote. `threads`: of the
    sessions with several.
    """

    environments: Sequence[str | Path]
    threads: int
    libtorch: Sequence[str | Path] = ()


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
    in batches of 1 and 7,
    and a part in all sessions (see `cases`); every length of the sets from empty to beyond `max_length`; NaN, infinities,
    +-1e30 and denormals in every input. All outputs count, regressed quantities in the units of `metrics.distance`. The
    reference is PyTorch in float32, eager, on the CPU; on the test split the distance to PyTorch in float64 is given beside it,
    to tell a difference from the noise of float32. Hostile inputs always need a probability and finite quantities, and
    PyTorch's where its answer is defined (see `comparison.Answers`).
    """
    start = time.perf_counter()
    torch.set_num_threads(runtimes.threads)
    installed_here = {"onnxruntime": installed(runtimes.environments), "libtorch": installed(runtimes.libtorch)}
    not_run = [
        RuntimeNotRun(runtime=f"{name} {environment['version']}", reason=environment["reason"])
        for name, environments in installed_here.items()
        for environment in environments
        if "reason" in environment
    ]
    runnable = []
    for artefact in artefacts:
        if artefact.name in AOT_INDUCTOR and (lacking := missing(level_of(artefact.name))):
            reason = f"the processor of this machine lacks {', '.join(lacking)}"
            not_run.append(RuntimeNotRun(runtime=artefact.name, reason=reason))
        else:
            runnable.append(artefact)
    pythons = [sys.executable, *(one["python"] for one in installed_here["onnxruntime"] if "python" in one)]
    workers = [(one["version"], one["worker"]) for one in installed_here["libtorch"] if "worker" in one]
    test = Batches(read_split(shards, contract, "test"), contract.layout, max(BATCH_SIZES))
    comparisons: list[Comparison] = []
    with ExitStack() as stack:
        deployed, not_loaded = _deployed(runnable, contract, reference, _Programs(pythons, workers, runtimes.threads), stack)
        for case in cases(test, contract, reference):
            comparisons += _compare(case, deployed, contract.scales, at_once=runtimes.threads)
        whole = test.gather(torch.arange(min(max(BATCH_SIZES), test.n))).branches
        first, second = (_answers(whole, deployed, "all", at_once=runtimes.threads) for _ in range(2))
        repeats = {session: first[session].tobytes() == second[session].tobytes() for session in first}
    failed = [comparison for comparison in comparisons if not comparison.passes]
    if failed:
        _write_evidence(max(failed, key=lambda comparison: comparison.badness), evidence)
    failures = [*not_loaded, *map(_failure, failed)]
    model = [c for c in comparisons if c.session.artefact == MODEL and not c.session.configuration.tf32]
    model_on_test = _on_test(model)
    largest = max(c.max_abs for c in model)
    _log.info(
        "%d of %d comparisons within tolerance, the model's largest difference is %.2g; %.1f s",
        len(comparisons) - len(failed), len(comparisons), largest, time.perf_counter() - start,
    )  # fmt: skip
    for line in not_run:
        _log.warning("%s was not run: %s", line.runtime, line.reason)
    return Verification(
        tolerance=artefacts[0].tolerance,
        model_sha256=file_sha256(artefacts[0].path),
        reference=f"torch {torch.__version__}, eager, float32, CPU",
        runtimes=tuple(dict.fromkeys(session.runtime for session in repeats if session.artefact == MODEL)),
        not_run=tuple(not_run),
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


def _deployed(
    artefacts: Sequence[Artefact],
    contract: Contract,
    reference: References,
    programs: "_Programs",
    stack: ExitStack,
) -> tuple[list[_Deployed], list[ParityFailure]]:
    """The artefacts in their runtimes, and in words which ones a runtime does not load; the model itself must load."""
    deployed, not_loaded = [], []
    for artefact in artefacts:
        inputs, expected = _inputs(artefact, contract.layout, reference.features)
        backends: list[_Backend] = []
        for backend in _backends(artefact, programs):
            try:
                stack.enter_context(backend)
            except RuntimeError as error:
                if artefact.name == MODEL:
                    raise
                not_loaded.append(ParityFailure(artefact=artefact.name, message=f"{artefact.name}: {error}", loads=False))
                continue
            if backend.inputs != expected:
                raise ValueError(f"{artefact.path}: the exported model takes {backend.inputs}, but the contract says {expected}")
            backends.append(backend)
        deployed.append(_Deployed(artefact, inputs, backends))
    return deployed, not_loaded


def _inputs(
    artefact: Artefact, layout: Layout, layer: FeatureLayer
) -> tuple[Callable[[Branches], Branches], Mapping[str, Sequence[Any]]]:
    """How branches become the inputs of an artefact, and the shapes of these."""
    if artefact.preprocess is None:
        return lambda branches: branches, {branch: ["batch", name or 1] for branch, name in layout.inputs.items()}
    content = read_json(artefact.preprocess)

    def for_cmssw(branches: Branches) -> Branches:
        return _tensors(cmssw_preprocess.prepare(content, cmssw_preprocess.variables(layer, layout, branches)))

    def for_weaver_interface(branches: Branches) -> Branches:
        return _tensors(weaver_interface.prepare(content, weaver_interface.variables(layer, layout, branches)))

    if artefact.name == FCCANALYSES:
        return for_weaver_interface, weaver_interface.network_inputs(content)
    return for_cmssw, cmssw_preprocess.preprocess_inputs(content)


def _tensors(arrays: Mapping[str, Array]) -> Branches:
    return {group: torch.from_numpy(values) for group, values in arrays.items()}


@dataclass(frozen=True)
class _Programs:
    """What runs artefacts: interpreters with ONNX Runtime releases, LibTorch releases with their programs, numbers of threads."""

    pythons: Sequence[str]
    workers: Sequence[tuple[str, str]]
    threads: int


def _backends(artefact: Artefact, programs: _Programs) -> Iterator[_Backend]:
    """What runs an artefact, not yet opened."""
    if artefact.name in (TORCHSCRIPT, *AOT_INDUCTOR):
        is_compiled = artefact.name in AOT_INDUCTOR
        configurations = _on_cpu(("enable_all",) if is_compiled else ("disable_all", "enable_all"), programs.threads)
        if is_compiled:
            yield AotInductorPackage(artefact.path, configurations, prefix=METADATA_PREFIX)
        else:
            yield TorchScriptModules(artefact.path, configurations, contract=METADATA_PREFIX + "contract")
        for version, worker in programs.workers:
            if not is_compiled or runs_aot_inductor(version):
                yield LibTorchProcess(worker, artefact.path, configurations, prefix=METADATA_PREFIX)
        return
    for python in programs.pythons:
        providers = _providers() if python == sys.executable else [CPU]
        configurations = _configurations(artefact, providers, programs.threads)
        yield RuntimeProcess(python, artefact.path, configurations, keeps_memory=False)


def _configurations(artefact: Artefact, providers: Sequence[str], threads: int) -> list[Configuration]:
    if artefact.name != MODEL:
        return [Configuration(provider, "enable_all", 1) for provider in providers]
    cpu = _on_cpu(OPTIMISATIONS, threads)
    if CUDA not in providers:
        return cpu
    gpu = [Configuration(CUDA, optimisation, 1) for optimisation in OPTIMISATIONS]
    return [*cpu, *gpu, Configuration(CUDA, "enable_all", 1, tf32=True)]


def _on_cpu(optimisations: Sequence[str], threads: int) -> list[Configuration]:
    return [Configuration(CPU, optimisation, n) for n in sorted({1, threads}) for optimisation in optimisations]


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


def _answers(branches: Branches, deployed: Sequence[_Deployed], sessions: str, *, at_once: int) -> dict[Session, Array]:
    """The answers of some sessions, as `Case.sessions` names them; `at_once` runtimes work side by side, to save memory."""
    answers: dict[Session, Array] = {}
    working: deque[tuple[Artefact, _Backend]] = deque()

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


def _compare(case: Case, deployed: Sequence[_Deployed], scales: tuple[float, ...], *, at_once: int) -> list[Comparison]:
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


def _providers() -> list[str]:
    """The execution providers that are tried in this process: the CPU, and CUDA if there is a GPU."""
    return [CPU, CUDA] if gpus() and CUDA in ort.get_available_providers() else [CPU]
