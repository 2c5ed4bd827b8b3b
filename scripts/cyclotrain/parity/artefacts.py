"""The exported files in every runtime that can run them, and how branches become their inputs."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch

from cyclotrain.contract import Contract, Layout
from cyclotrain.contract.metadata import METADATA_PREFIX
from cyclotrain.contract.results import AOT_INDUCTOR, FCCANALYSES, MODEL, TORCHSCRIPT, ParityFailure, RuntimeNotRun
from cyclotrain.core.files import read_json
from cyclotrain.export import cmssw_preprocess, weaver_interface
from cyclotrain.networks.devices import gpus
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.parity.cases import Case
from cyclotrain.parity.comparison import Array, Branches
from cyclotrain.runtimes.environments import installed
from cyclotrain.runtimes.in_process import InProcess, in_process
from cyclotrain.runtimes.instruction_sets import level_of, missing
from cyclotrain.runtimes.libtorch import LibTorchProcess
from cyclotrain.runtimes.sessions import CPU, CUDA, Configuration, RuntimeProcess
from cyclotrain.runtimes.targets import runs_aot_inductor

OPTIMISATIONS = ("disable_all", "enable_basic", "enable_extended", "enable_all")
Backend = RuntimeProcess | InProcess | LibTorchProcess


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
class Deployed:
    """An artefact in all runtimes that load it, and how branches become its inputs."""

    artefact: Artefact
    inputs: Callable[[Branches], Branches]
    backends: list[Backend]


@dataclass(frozen=True)
class Runtimes:
    """Where the artefacts are tried: besides ONNX Runtime and LibTorch of this environment, in those of other releases.

    `environments` and `libtorch`: what `install` and `install_libtorch` of runtimes.environments wrote. `threads`: of the
    sessions with several.
    """

    environments: Sequence[str | Path]
    threads: int
    libtorch: Sequence[str | Path] = ()


@dataclass(frozen=True)
class Opened:
    """The artefacts that answer; those that a runtime does not load, and the runtimes that could not be tried here."""

    deployed: list[Deployed]
    not_loaded: list[ParityFailure]
    not_run: tuple[RuntimeNotRun, ...]


def open_artefacts(
    artefacts: Sequence[Artefact], contract: Contract, layer: FeatureLayer, *, runtimes: Runtimes, stack: ExitStack
) -> Opened:
    """Load each artefact in its runtimes, until `stack` closes. Raises RuntimeError if the model itself does not load.

    `layer`: of the model; it computes what a preprocess.json takes.
    """
    environments = {"onnxruntime": installed(runtimes.environments), "libtorch": installed(runtimes.libtorch)}
    not_run = [
        RuntimeNotRun(runtime=f"{name} {one['version']}", reason=one["reason"])
        for name, several in environments.items()
        for one in several
        if "reason" in one
    ]
    pythons = [sys.executable, *(one["python"] for one in environments["onnxruntime"] if "python" in one)]
    workers = [(one["version"], one["worker"]) for one in environments["libtorch"] if "worker" in one]
    programs = _Programs(pythons, workers, runtimes.threads)
    deployed, not_loaded = [], []
    for artefact in artefacts:
        if artefact.name in AOT_INDUCTOR and (lacking := missing(level_of(artefact.name))):
            reason = f"the processor of this machine lacks {', '.join(lacking)}"
            not_run.append(RuntimeNotRun(runtime=artefact.name, reason=reason))
            continue
        inputs, expected = _inputs(artefact, contract.layout, layer)
        backends: list[Backend] = []
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
        deployed.append(Deployed(artefact, inputs, backends))
    return Opened(deployed, not_loaded, tuple(not_run))


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


def _backends(artefact: Artefact, programs: _Programs) -> Iterator[Backend]:
    """What runs an artefact, not yet opened."""
    if artefact.name in (TORCHSCRIPT, *AOT_INDUCTOR):
        is_compiled = artefact.name in AOT_INDUCTOR
        configurations = _on_cpu(("enable_all",) if is_compiled else ("disable_all", "enable_all"), programs.threads)
        yield in_process(artefact.path, configurations, prefix=METADATA_PREFIX)
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


def _providers() -> list[str]:
    """The execution providers that are tried in this process: the CPU, and CUDA if there is a GPU."""
    return [CPU, CUDA] if gpus() and CUDA in ort.get_available_providers() else [CPU]
