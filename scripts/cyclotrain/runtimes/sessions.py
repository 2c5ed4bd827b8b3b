"""Run a model in ONNX Runtime: in this process, or with any release in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from cyclotrain.core.memory import KEEPS_SOME_FREED_MEMORY
from cyclotrain.runtimes import worker as runtime_worker
from cyclotrain.runtimes.worker import make_session, read_message, side_by_side, write_message

if TYPE_CHECKING:  # scoring does not import PyTorch
    from torch import Tensor

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def open_session(model: str | Path, threads: int, provider: str = CPU) -> ort.InferenceSession:
    """A session with the given number of threads and one execution provider.

    Raises RuntimeError if ONNX Runtime uses another provider, which it does without a message.
    """
    return make_session(str(model), provider=provider, optimisation="enable_all", threads=threads)


def run(session: ort.InferenceSession, branches: "Mapping[str, Tensor]") -> npt.NDArray[np.float32]:
    """The outputs side by side [B, n_columns], of one batch of branches."""
    answer: npt.NDArray[np.float32] = side_by_side(
        session.run(None, {name: np.ascontiguousarray(value.numpy()) for name, value in branches.items()})
    )
    return answer


def predict(session: ort.InferenceSession, batches: "Iterable[Mapping[str, Tensor]]") -> npt.NDArray[np.float32]:
    """The outputs side by side [n, n_columns] of all examples, in order, from the branches of each batch."""
    return np.concatenate([run(session, branches) for branches in batches])


@dataclass(frozen=True)
class Configuration:
    """How a session is made; `optimisation` is a GraphOptimizationLevel of ONNX Runtime in lower case, without `ORT_`.

    With `tf32`, a GPU rounds the inputs of matrix products to 10 bits: ONNX Runtime's default on Ampere and later.
    """

    provider: str
    optimisation: str
    threads: int
    tf32: bool = False

    def __str__(self) -> str:
        provider = self.provider.removesuffix("ExecutionProvider") + " with TF32" * self.tf32
        level = self.optimisation.removeprefix("enable_").replace("disable_all", "none")
        return f"{provider}, optimisations: {level}, {self.threads} thread{'s'[: self.threads - 1]}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Worker:
    """What runs a model in a process of its own: the name of the runtime, and the arguments of its Python."""

    runtime: str
    arguments: Sequence[str]


ONNX_RUNTIME = Worker("ONNX Runtime", (runtime_worker.__file__,))


class RuntimeProcess:
    """The model in a runtime in Python, in a process of its own, with one session per configuration.

    Raises RuntimeError, with the runtime's message, if the model cannot be loaded or run.
    `load_seconds`: for all sessions together. `memory`: peak memory of the process in MB, first before loading, then after each
    batch; None on macOS. `seconds`: of each session that ran the last batch.

    `keeps_memory`: the sessions keep the memory of a batch for the next one, as a deployed session does. Without it the process
    keeps at most a GB, because there may be many: eight that keep all would take 24 GB for `particle_transformer`.
    """

    def __init__(
        self,
        python: str | Path,
        model: str | Path,
        configurations: Sequence[Configuration],
        *,
        worker: Worker = ONNX_RUNTIME,
        keeps_memory: bool = True,
    ) -> None:
        self.configurations = configurations
        self.inputs: dict[str, list[Any]] = {}
        self.runtime = ""  # its name with the version
        self.load_seconds = 0.0
        self.memory: float | None = None
        self.seconds: list[float] = []
        self._worker, self._keeps_memory = worker, keeps_memory
        self._python, self._model = str(python), str(Path(model).resolve())

    def __enter__(self) -> "RuntimeProcess":
        # another Python imports the packages of its own environment
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        if self._python == sys.executable:
            environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        if not self._keeps_memory:
            environment |= KEEPS_SOME_FREED_MEMORY
        self._process = subprocess.Popen(
            [self._python, *self._worker.arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        configurations = [c.to_dict() for c in self.configurations]
        request = {"model": self._model, "configurations": configurations, "keeps_memory": self._keeps_memory}
        self._send(request, {})
        loaded, _ = self._receive()
        self.runtime, self.inputs = loaded["runtime"], loaded["inputs"]
        self.load_seconds, self.memory = loaded["load_seconds"], loaded["memory"]
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, branches: "Mapping[str, Tensor]", configurations: Sequence[Configuration]) -> None:
        """Send a batch of branches to the sessions of these configurations, without waiting for the answers."""
        sessions = [self.configurations.index(c) for c in configurations]
        self._send({"sessions": sessions}, {name: value.numpy() for name, value in branches.items()})

    def answers(self) -> dict[Configuration, npt.NDArray[np.float32]]:
        """Wait for the outputs side by side [B, n_columns] of the batch sent last, by configuration."""
        measured, answers = self._receive()
        self.seconds, self.memory = measured["seconds"], measured["memory"]
        return {self.configurations[int(session)]: answer for session, answer in answers.items()}

    def _send(self, header: dict[str, Any], arrays: dict[str, Any]) -> None:
        try:
            write_message(cast(Any, self._process.stdin), header, arrays)
        except BrokenPipeError:
            self._receive()  # raises an error that says why the process ended
            raise

    def _receive(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
        message = read_message(cast(Any, self._process.stdout))
        if message is None:
            raise RuntimeError(
                f"{self._python}: the process of {self._worker.runtime} ended with exit code {self._process.wait()}"
            )
        header, arrays = message
        if "error" in header:
            raise RuntimeError(f"{self._worker.runtime} in {self._python}: {header['error']}")
        return header, arrays
