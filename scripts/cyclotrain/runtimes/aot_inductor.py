"""Run a package of AOTInductor in this process's LibTorch."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
import torch._inductor  # which registers the loader
from torch import Tensor

from cyclotrain.runtimes.instruction_sets import require_level
from cyclotrain.runtimes.packages import package_metadata
from cyclotrain.runtimes.sessions import Configuration


class AotInductorPackage:
    """A package (.pt2), loaded once; it is used as a `RuntimeProcess` is.

    A package works on one thread. With several, so many threads ask the same model at once for the same batch; if their answers
    differ, a differing one counts. `prefix`: of the names in its metadata. Raises RuntimeError, with LibTorch's message, if the
    package cannot be loaded or run, or if this machine's processor lacks instructions that it uses.
    """

    def __init__(self, package: str | Path, configurations: Sequence[Configuration], *, prefix: str) -> None:
        self.configurations = configurations
        self.inputs: dict[str, list[Any]] = {}
        self.runtime = f"libtorch {torch.__version__.partition('+')[0]}"
        self._package, self._prefix = package, prefix
        self._asked: tuple[Mapping[str, Tensor], Sequence[Configuration]] | None = None

    def __enter__(self) -> Self:
        metadata = package_metadata(self._package)
        require_level(metadata[f"{self._prefix}instruction_set"])
        # not for one thread alone, with as many copies of the state as threads, on no GPU
        threads = max(configuration.threads for configuration in self.configurations)
        self._loader = torch._C._aoti.AOTIModelPackageLoader(str(self._package), "model", False, threads, -1)
        contract = json.loads(metadata[f"{self._prefix}contract"])
        self.inputs = {one["branch"]: one["shape"] for one in contract["inputs"]}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        del self._loader

    def ask(self, branches: Mapping[str, Tensor], configurations: Sequence[Configuration]) -> None:
        """Take a batch of branches for these configurations."""
        self._asked = branches, configurations

    def answers(self) -> dict[Configuration, npt.NDArray[np.float32]]:
        """The outputs side by side [B, n_columns] of the batch taken last, by configuration."""
        assert self._asked
        branches, configurations = self._asked
        values = self.by_position(branches)
        answers: dict[Configuration, npt.NDArray[np.float32]] = {}
        for configuration in configurations:
            several = configuration.threads > 1
            answers[configuration] = self._at_once(values, configuration.threads) if several else self._run(values)
        return answers

    def _at_once(self, values: Sequence[Tensor], threads: int) -> npt.NDArray[np.float32]:
        with ThreadPoolExecutor(threads) as pool:
            first, *others = pool.map(self._run, [values] * threads)
        return next((other for other in others if other.tobytes() != first.tobytes()), first)

    def _run(self, values: Sequence[Tensor]) -> npt.NDArray[np.float32]:
        answer: npt.NDArray[np.float32] = torch.cat(self.run(values), dim=1).numpy()
        return answer

    def by_position(self, branches: Mapping[str, Tensor]) -> list[Tensor]:
        """The branches as the library takes them."""
        # it takes the memory of each as that of contiguous float32, whatever it is
        return [branches[branch].to(torch.float32).contiguous() for branch in self.inputs]

    def run(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The outputs [B, columns], on one thread."""
        outputs: list[Tensor] = self._loader.boxed_run(list(values))
        return outputs
