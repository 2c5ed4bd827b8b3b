"""The parity gate: what is deployed, in ONNX Runtime releases, against PyTorch, on real test examples and on hostile ones."""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import MODEL
from cyclotrain.core.files import atomic, file_sha256, read_json, write_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.export.cmssw_preprocess import prepare, preprocess_inputs, variables
from cyclotrain.networks.devices import gpus
from cyclotrain.parity.cases import BATCH_SIZES, Case, Reference, References, cases
from cyclotrain.parity.comparison import Array, Branches, Comparison, Session
from cyclotrain.runtimes.environments import installed
from cyclotrain.runtimes.sessions import CPU, CUDA, Configuration, RuntimeProcess

OPTIMISATIONS = ("disable_all", "enable_basic", "enable_extended", "enable_all")
_COMPARED = 4096  # examples at a time
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artefact:
    """A file that must give the model's answers within a tolerance; `model` is the exported model itself.

    It takes branches, or the features that `preprocess`, a preprocess.json, prepares. Other tolerances: `hostile_tolerance`
    where inputs are hostile, `tf32_tolerance` where a GPU rounds to TF32.
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
    processes: list[RuntimeProcess]


def verify(
    contract: Contract,
    model: config.ModelConfig,
    weights: str | Path,
    artefacts: Sequence[Artefact],
    shards: Sequence[str],
    environments: Sequence[str | Path],
    threads: int,
    result: str | Path,
    evidence: str | Path,
) -> bool:
    """Compare on every case in every session and write `result`; the worst failure's inputs and answers go to `evidence`.

    The first artefact is the model. Its sessions: the ONNX Runtime of this environment and those of `environments` (of
    runtime_environments.install), at every level of graph optimisation, on one and on `threads` threads; on a GPU, if there is
    one, in float32 at every level, and once rounded to TF32, which is ONNX Runtime's default there and has a tolerance of its
    own. The other artefacts are tried as deployed: one thread, all optimisations. Cases: every example of the
    test split in batches of 1, 7 and 1024 (the small ones for the model as deployed; for the rest the first 1000
    examples); every length of the sets from empty to beyond `max_length`; NaN, infinities, +-1e30 and denormals in every
    input. The reference is PyTorch in float32, eager, on the CPU; on the test split the distance to PyTorch in float64 is
    given beside it, to tell a difference from float32's own noise.
    """
    torch.set_num_threads(threads)
    found = installed(environments)
    not_run = [{"runtime": f"onnxruntime {e['version']}", "reason": e["reason"]} for e in found if "reason" in e]
    pythons = [sys.executable, *(e["python"] for e in found if "python" in e)]
    references = References(contract, model, weights)
    test = Batches(read_split(shards, contract, "test"), contract.layout, max(BATCH_SIZES))
    comparisons: list[Comparison] = []
    with ExitStack() as stack:
        deployed, not_loaded = _deployed(artefacts, contract, references, pythons, threads, stack)
        for case in cases(test, contract, references):
            comparisons += _compare(case, deployed)
        whole = test.gather(torch.arange(min(max(BATCH_SIZES), test.n))).branches
        first, second = (_answers(whole, deployed, everywhere=True) for _ in range(2))
        repeats = {session: first[session].tobytes() == second[session].tobytes() for session in first}
    failed = [c for c in comparisons if not c.passes]
    if failed:
        worst = max(failed, key=lambda c: c.badness)
        with atomic(evidence) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, case=np.array(str(worst)), **worst.evidence)
    of_model = [c for c in comparisons if c.session.artefact == MODEL and not c.session.configuration.tf32]
    by_case: dict[str, list[Comparison]] = {}
    for c in of_model:
        by_case.setdefault(c.case, []).append(c)
    on_test = _on_test(of_model)
    write_json(
        result,
        {
            "passed": not (failed or not_loaded),
            "tolerance": artefacts[0].tolerance,
            "model_sha256": file_sha256(artefacts[0].path),
            "reference": f"torch {torch.__version__}, eager, float32, CPU",
            "runtimes": list(dict.fromkeys(session.runtime for session in repeats)),
            "not_run": not_run,
            "test_examples": on_test[0].examples,
            "max_abs": max(c.max_abs for c in on_test),
            "max_abs_all_cases": max(c.max_abs for c in of_model),
            "max_abs_float64": {
                "onnxruntime": max(c.max_abs_float64 or 0.0 for c in on_test),
                "torch, float32": references.noise,
            },
            "failed": [*not_loaded, *map(str, failed)],
            "evidence": str(evidence) if failed else None,
            "matrix": [_row(session, comparisons, repeats[session]) for session in repeats],
            "cases": [max(of, key=lambda c: c.badness).to_dict() for of in by_case.values()],
        },
    )
    for said in [*not_loaded, *map(str, failed)][:20]:
        _log.error(said)
    passed, largest = len(comparisons) - len(failed), max(c.max_abs for c in of_model)
    _log.info("%d of %d comparisons within tolerance; the model's largest difference %.2g", passed, len(comparisons), largest)
    for line in not_run:
        _log.warning("%s was not run: %s", line["runtime"], line["reason"])
    return not (failed or not_loaded)


def _deployed(
    artefacts: Sequence[Artefact],
    contract: Contract,
    references: References,
    pythons: Sequence[str],
    threads: int,
    stack: ExitStack,
) -> tuple[list[_Deployed], list[str]]:
    """The artefacts in their runtimes, and in words which ones a runtime does not load; the model itself must load."""
    deployed, not_loaded = [], []
    for artefact in artefacts:
        content = read_json(artefact.preprocess) if artefact.preprocess else None

        def inputs(branches: Branches, content: Mapping[str, Any] | None = content) -> Branches:
            if content is None:
                return branches
            prepared = prepare(content, variables(references.features, contract.layout, branches))
            return {group: torch.from_numpy(values) for group, values in prepared.items()}

        expected = preprocess_inputs(content) if content else {b: ["batch", s or 1] for b, s in contract.layout.inputs.items()}
        processes = []
        for python in pythons:
            on = _providers() if python == sys.executable else [CPU]
            try:
                made = stack.enter_context(RuntimeProcess(python, artefact.path, _configurations(artefact, on, threads)))
            except RuntimeError as error:
                if artefact.name == MODEL:
                    raise
                not_loaded.append(f"{artefact.name}: {error}")
                continue
            if made.inputs != expected:
                raise ValueError(f"{artefact.path}: the exported model takes {made.inputs}, and the contract says {expected}")
            processes.append(made)
        deployed.append(_Deployed(artefact, inputs, processes))
    return deployed, not_loaded


def _configurations(artefact: Artefact, on: Sequence[str], threads: int) -> list[Configuration]:
    if artefact.name != MODEL:
        return [Configuration(provider, "enable_all", 1) for provider in on]
    of_cpu = [Configuration(CPU, optimisation, n) for n in sorted({1, threads}) for optimisation in OPTIMISATIONS]
    if CUDA not in on:
        return of_cpu
    of_gpu = [Configuration(CUDA, optimisation, 1) for optimisation in OPTIMISATIONS]
    return [*of_cpu, *of_gpu, Configuration(CUDA, "enable_all", 1, tf32=True)]


def _on_test(comparisons: Iterable[Comparison]) -> list[Comparison]:
    return [c for c in comparisons if c.case.startswith("test split")]


def _row(session: Session, comparisons: Sequence[Comparison], repeats: bool) -> dict[str, Any]:
    """One session's line of the matrix."""
    of = [c for c in comparisons if c.session == session]
    on_test = _on_test(of)
    return {
        **session.to_dict(),
        "tolerance": of[0].tolerance,
        "max_abs": max(c.max_abs for c in on_test),
        "max_rel": max(c.max_rel for c in on_test),
        "max_ulps": max(c.max_ulps for c in on_test),
        "max_abs_float64": max(c.max_abs_float64 or 0.0 for c in on_test),
        "max_abs_all_cases": max(c.max_abs for c in of),
        "worst_case": max(of, key=lambda c: c.badness).case,
        "cases": len(of),
        "cases_failed": sum(not c.passes for c in of),
        "bitwise_repeatable": repeats,
    }


def _answers(branches: Branches, deployed: Sequence[_Deployed], everywhere: bool) -> dict[Session, Array]:
    """Each session's answers; the runtimes work side by side."""
    asked = [of for of in deployed if everywhere or of.artefact.name == MODEL]
    for of in asked:
        inputs = of.inputs(branches)
        for made in of.processes:
            made.ask(inputs, [c for c in made.configurations if everywhere or (c.optimisation, c.threads) == ("enable_all", 1)])
    return {
        Session(of.artefact.name, f"onnxruntime {made.version}", configuration): answer
        for of in asked
        for made in of.processes
        for configuration, answer in made.answers().items()
    }


def _compare(case: Case, deployed: Sequence[_Deployed]) -> list[Comparison]:
    artefacts = {of.artefact.name: of.artefact for of in deployed}
    comparisons: dict[Session, Comparison] = {}
    waiting: list[Reference] = []
    answers: dict[Session, list[Array]] = {}

    def compare() -> None:
        batches, expected, exact = zip(*waiting, strict=True)
        double = None if exact[0] is None else np.concatenate(exact)
        for session, of_session in answers.items():
            tolerance = artefacts[session.artefact].tolerance_of(case, session.configuration)
            comparison = comparisons.setdefault(session, Comparison(case.name, session, tolerance))
            comparison.add(batches, np.concatenate(of_session), np.concatenate(expected), double)
        waiting.clear()
        answers.clear()

    for reference in case.batches:
        waiting.append(reference)
        for session, answer in _answers(reference[0], deployed, case.everywhere).items():
            answers.setdefault(session, []).append(answer)
        if len(waiting) * len(reference[1]) >= _COMPARED:
            compare()
    if waiting:
        compare()
    return list(comparisons.values())


def _providers() -> list[str]:
    """The execution providers of this process' ONNX Runtime: the CPU, and CUDA if there is a GPU for this process."""
    return [CPU, CUDA] if gpus() and CUDA in ort.get_available_providers() else [CPU]
