"""Run a TorchScript file, or a package of AOTInductor, in any LibTorch release, in a process of its own."""

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

import numpy as np
import numpy.typing as npt

from cyclotrain.runtimes.instruction_sets import require_level
from cyclotrain.runtimes.packages import package_metadata
from cyclotrain.runtimes.sessions import Configuration
from cyclotrain.runtimes.worker import read_message

if TYPE_CHECKING:  # as in sessions.py
    from torch import Tensor

Array = npt.NDArray[np.float32]
Branches = Mapping[str, "Tensor"]


class LibTorchProcess:
    """The model in a LibTorch release, in a process of its own; it is used as a `RuntimeProcess` is.

    `worker`: the program that `environments.install_libtorch` compiled. `model`: a package of AOTInductor if its name ends with
    `.pt2`, else TorchScript. `prefix`: of the names in its metadata, where the contract has the inputs in their order.

    A configuration without optimisations runs TorchScript as the file has it, one with all freezes it, as CMSSW's
    `cms::torch::Model` does by default. `threads` call one model at the same time with the same batch, each on one thread, as the
    streams of CMSSW do; the answer is that of the first one, or of one that differs from it.
    `load_seconds`, `memory` and `seconds` are those of a `RuntimeProcess`.

    Raises RuntimeError, with LibTorch's message, if the model cannot be loaded or run, if it takes other shapes, or if this
    machine's processor lacks instructions that a package uses.
    """

    def __init__(
        self,
        worker: str | Path,
        model: str | Path,
        configurations: Sequence[Configuration],
        *,
        prefix: str,
    ) -> None:
        self.configurations = configurations
        self.inputs: dict[str, list[Any]] = {}
        self.version = ""
        self.load_seconds = 0.0
        self.memory: float | None = None
        self.seconds: list[float] = []
        self._worker, self._model, self._prefix = str(worker), str(Path(model).resolve()), prefix

    @property
    def runtime(self) -> str:
        """The name of the runtime with its version."""
        return f"libtorch {self.version}"

    def __enter__(self) -> Self:
        if self._model.endswith(".pt2"):
            require_level(package_metadata(self._model)[f"{self._prefix}instruction_set"])
        contract = f"{self._prefix}contract"
        sessions = [f"{c.optimisation}:{c.threads}" for c in self.configurations]
        self._process = subprocess.Popen(
            [self._worker, self._model, contract, *sessions], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            loaded, _ = self._receive()
            if not loaded["contract"]:
                raise RuntimeError(f"{self._model}: it has no contract ('{contract}') inside")
        except RuntimeError:
            self._end()
            raise
        inputs = json.loads(loaded["contract"])["inputs"]
        self.inputs = {one["branch"]: one["shape"] for one in inputs}
        sets = list(dict.fromkeys(shape[1] for shape in self.inputs.values() if shape[1] != 1))
        lines = (f"{0 if shape[1] == 1 else sets.index(shape[1]) + 1} {name}" for name, shape in self.inputs.items())
        self._send("\n".join([f"inputs {len(self.inputs)}", *lines]) + "\n", [])
        self.version, self.load_seconds, self.memory = loaded["version"], loaded["load_seconds"], loaded["memory"]
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._end()

    def ask(self, branches: Branches, configurations: Sequence[Configuration]) -> None:
        """Send a batch of branches to the sessions of these configurations, without waiting for the answers."""
        sessions = [str(self.configurations.index(c)) for c in configurations]
        self._send(" ".join(["run", str(len(sessions)), *sessions]) + "\n", [branches])

    def answers(self) -> dict[Configuration, Array]:
        """Wait for the outputs side by side [B, n_columns] of the batch sent last, by configuration."""
        measured, answers = self._receive()
        self.seconds, self.memory = measured["seconds"], measured["memory"]
        return {self.configurations[int(session)]: _of_threads(answer) for session, answer in answers.items()}

    def time(
        self, batches: Sequence[Branches], configuration: Configuration, *, warm_up: int = 0, repeats: int = 1
    ) -> npt.NDArray[np.float64]:
        """Seconds of each call [len(batches), repeats], one after the other by one thread, without the pipe.

        `warm_up`: how many of the batches are run before, uncounted. `memory` is then the peak.
        """
        session = self.configurations.index(configuration)
        self._send(f"time {session} {warm_up} {repeats} {len(batches)}\n", batches)
        measured, _ = self._receive()
        self.memory = measured["memory"]
        return np.array(measured["seconds"]).reshape(len(batches), repeats)

    def _end(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _send(self, request: str, batches: Sequence[Branches]) -> None:
        stream = cast(BinaryIO, self._process.stdin)
        parts = [request.encode(), *(part for branches in batches for part in _message(self._by_position(branches)))]
        try:
            stream.writelines(parts)
            stream.flush()
        except BrokenPipeError:
            self._receive()  # raises an error that says why the process ended
            raise

    def _by_position(self, branches: Branches) -> list[Array]:
        if missing := [name for name in self.inputs if name not in branches]:
            raise RuntimeError(f"{self._model}: the model also takes {', '.join(missing)}")
        return [np.ascontiguousarray(branches[name].numpy(), np.float32) for name in self.inputs]

    def _receive(self) -> tuple[dict[str, Any], dict[str, Array]]:
        message = read_message(cast(BinaryIO, self._process.stdout))
        if message is None:
            raise RuntimeError(f"{self._worker}: the LibTorch process ended with {_ending(self._process.wait())}: {self._model}")
        header, arrays = message
        if "error" in header:
            raise RuntimeError(f"LibTorch in {self._worker}: {header['error'].strip()}")
        return header, arrays


def _message(arrays: Sequence[Array]) -> list[bytes]:
    """A batch: a line with the shapes, then the values."""
    header = [len(arrays), *(number for array in arrays for number in (array.ndim, *array.shape))]
    return [(" ".join(map(str, header)) + "\n").encode(), *(array.tobytes() for array in arrays)]


def _of_threads(answers: Array) -> Array:
    """One answer [B, n_columns] of all threads' [threads, B, n_columns]: the first, or one with other bytes than the first."""
    first = answers[0].tobytes()
    return next((answer for answer in answers[1:] if answer.tobytes() != first), answers[0])


def _ending(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name} (an instruction that this processor lacks)" if -code == signal.SIGILL else name
