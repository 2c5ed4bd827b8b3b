"""Run a TorchScript file in this process's LibTorch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cyclotrain.runtimes.sessions import Configuration


class TorchScriptModules:
    """The model as TorchScript, with one module per configuration; it is used as a `RuntimeProcess` is.

    `contract`: the extra file in it with the contract, which has the inputs in their order. Without optimisations, a module is as
    the file has it; with all, it is frozen, as CMSSW's `cms::torch::Model` does by default.
    Raises RuntimeError, with LibTorch's message, if the file cannot be loaded or run.
    """

    def __init__(self, model: str | Path, configurations: Sequence[Configuration], *, contract: str) -> None:
        self.configurations = configurations
        self.inputs: dict[str, list[Any]] = {}
        self.runtime = f"libtorch {torch.__version__.partition('+')[0]}"
        self._model, self._contract = model, contract
        self._asked: tuple[Mapping[str, Tensor], Sequence[Configuration]] | None = None

    def __enter__(self) -> Self:
        extra: dict[str, Any] = {self._contract: ""}
        torch.jit.load(self._model, _extra_files=extra)
        self.inputs = {one["branch"]: one["shape"] for one in json.loads(extra[self._contract])["inputs"]}
        self._modules = {configuration: self.module(configuration) for configuration in self.configurations}
        return self

    def module(self, configuration: Configuration) -> torch.jit.ScriptModule:
        """The model as a consumer loads it."""
        module = torch.jit.load(self._model).eval()
        return module if configuration.optimisation == "disable_all" else torch.jit.freeze(module)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._modules.clear()

    def ask(self, branches: Mapping[str, Tensor], configurations: Sequence[Configuration]) -> None:
        """Take a batch of branches for the modules of these configurations."""
        self._asked = branches, configurations

    def answers(self) -> dict[Configuration, npt.NDArray[np.float32]]:
        """The outputs side by side [B, n_columns] of the batch taken last, by configuration."""
        assert self._asked
        branches, configurations = self._asked
        values = self.by_position(branches)
        answers: dict[Configuration, npt.NDArray[np.float32]] = {}
        for configuration in configurations:
            with _threads(configuration.threads):
                answers[configuration] = torch.cat(self.run(values, configuration), dim=1).numpy()
        return answers

    def by_position(self, branches: Mapping[str, Tensor]) -> list[Tensor]:
        """The branches as the module takes them."""
        return [branches[branch] for branch in self.inputs]

    def run(self, values: Sequence[Tensor], configuration: Configuration) -> list[Tensor]:
        """The outputs [B, columns] of one module, on the threads of the process."""
        with torch.inference_mode():
            answer = self._modules[configuration](*values)
        return list(answer) if isinstance(answer, tuple) else [answer]


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """PyTorch's threads, which are those of the process."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
