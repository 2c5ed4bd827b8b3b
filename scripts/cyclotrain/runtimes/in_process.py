"""Run a form of the model for LibTorch in that of this process: TorchScript, or a package of AOTInductor."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
import torch._inductor  # which registers the loader of packages
from torch import Tensor

from cyclotrain.runtimes.instruction_sets import require_level
from cyclotrain.runtimes.packages import package_metadata
from cyclotrain.runtimes.sessions import Configuration

Array = npt.NDArray[np.float32]


class InProcess(ABC):
    """A model in this process's LibTorch; it is used as a `RuntimeProcess` is.

    `prefix`: of the names in the metadata of the file, where the contract has the inputs in their order.
    Raises RuntimeError, with LibTorch's message, if the file cannot be loaded or run.
    """

    def __init__(self, path: str | Path, configurations: Sequence[Configuration], *, prefix: str) -> None:
        self.configurations = configurations
        self.inputs: dict[str, list[Any]] = {}
        self.runtime = f"libtorch {torch.__version__.partition('+')[0]}"
        self._path, self._prefix = path, prefix
        self._asked: tuple[Mapping[str, Tensor], Sequence[Configuration]] | None = None

    def __enter__(self) -> Self:
        contract = json.loads(self._load())
        self.inputs = {one["branch"]: one["shape"] for one in contract["inputs"]}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._unload()

    def ask(self, branches: Mapping[str, Tensor], configurations: Sequence[Configuration]) -> None:
        """Take a batch of branches for these configurations."""
        self._asked = branches, configurations

    def answers(self) -> dict[Configuration, Array]:
        """The outputs side by side [B, n_columns] of the batch taken last, by configuration."""
        assert self._asked
        branches, configurations = self._asked
        values = self.by_position(branches)
        return {configuration: self._answer(values, configuration) for configuration in configurations}

    def by_position(self, branches: Mapping[str, Tensor]) -> list[Tensor]:
        """The branches as the model takes them."""
        # a package takes the memory of each as that of contiguous float32, whatever it is
        return [branches[branch].to(torch.float32).contiguous() for branch in self.inputs]

    @abstractmethod
    def run(self, values: Sequence[Tensor], configuration: Configuration) -> list[Tensor]:
        """The outputs [B, columns] of one call."""

    @abstractmethod
    def _load(self) -> str:
        """Load the file; gives the text of its contract."""

    @abstractmethod
    def _unload(self) -> None: ...

    @abstractmethod
    def _answer(self, values: Sequence[Tensor], configuration: Configuration) -> Array:
        """The outputs side by side [B, n_columns] on the threads of a configuration."""


def in_process(path: str | Path, configurations: Sequence[Configuration], *, prefix: str) -> InProcess:
    """A model file, not yet loaded: a package if its name ends with `.pt2`, else TorchScript."""
    kind = Package if Path(path).suffix == ".pt2" else TorchScript
    return kind(path, configurations, prefix=prefix)


class TorchScript(InProcess):
    """The model as TorchScript, with one module per configuration, on the threads of PyTorch.

    Without optimisations, a module is as the file has it; with all, it is frozen, as CMSSW's `cms::torch::Model` does by default.
    """

    def _load(self) -> str:
        extra: dict[str, Any] = {f"{self._prefix}contract": ""}
        torch.jit.load(self._path, _extra_files=extra)
        self._modules = {configuration: self.module(configuration) for configuration in self.configurations}
        contract: str = extra[f"{self._prefix}contract"]
        return contract

    def _unload(self) -> None:
        self._modules.clear()

    def module(self, configuration: Configuration) -> torch.jit.ScriptModule:
        """The model as a consumer loads it."""
        module = torch.jit.load(self._path).eval()
        return module if configuration.optimisation == "disable_all" else torch.jit.freeze(module)

    def run(self, values: Sequence[Tensor], configuration: Configuration) -> list[Tensor]:
        """The outputs [B, columns] of the configuration's module, on the threads of the process."""
        with torch.inference_mode():
            answer = self._modules[configuration](*values)
        return list(answer) if isinstance(answer, tuple) else [answer]

    def _answer(self, values: Sequence[Tensor], configuration: Configuration) -> Array:
        with _threads(configuration.threads):
            return _side_by_side(self.run(values, configuration))


class Package(InProcess):
    """A package of AOTInductor, loaded once.

    It works on one thread. With several, so many threads ask the same model at once for the same batch; if their answers differ,
    a differing one counts. Raises RuntimeError too if this machine's processor lacks instructions that it uses.
    """

    def _load(self) -> str:
        metadata = package_metadata(self._path)
        require_level(metadata[f"{self._prefix}instruction_set"])
        # not for one thread alone, with as many copies of the state as threads, on no GPU
        threads = max(configuration.threads for configuration in self.configurations)
        self._loader = torch._C._aoti.AOTIModelPackageLoader(str(self._path), "model", False, threads, -1)
        return metadata[f"{self._prefix}contract"]

    def _unload(self) -> None:
        del self._loader

    def run(self, values: Sequence[Tensor], configuration: Configuration) -> list[Tensor]:
        """The outputs [B, columns], on one thread."""
        outputs: list[Tensor] = self._loader.boxed_run(list(values))
        return outputs

    def _answer(self, values: Sequence[Tensor], configuration: Configuration) -> Array:
        def call(values: Sequence[Tensor]) -> Array:
            return _side_by_side(self.run(values, configuration))

        with ThreadPoolExecutor(configuration.threads) as pool:
            first, *others = pool.map(call, [values] * configuration.threads)
        return next((other for other in others if other.tobytes() != first.tobytes()), first)


def _side_by_side(outputs: Sequence[Tensor]) -> Array:
    answer: Array = torch.cat(list(outputs), dim=1).numpy()
    return answer


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """PyTorch's threads, which are those of the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
