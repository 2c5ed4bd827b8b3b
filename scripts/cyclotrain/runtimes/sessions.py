"""ONNX Runtime sessions: in this process, or of any release in a process of its own; and the model's answers through them."""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from cyclotrain.runtimes import worker as runtime_worker
from cyclotrain.runtimes.worker import make_session, read_message, write_message

if TYPE_CHECKING:  # scoring runs without PyTorch
    from torch import Tensor

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def session(model: str | Path, threads: int, provider: str = CPU) -> ort.InferenceSession:
    """A session with the given number of threads and one provider.

    Raises RuntimeError if ONNX Runtime fell back to another provider, which it does in silence.
    """
    return make_session(str(model), provider, "enable_all", threads)


def run(made: ort.InferenceSession, branches: "Mapping[str, Tensor]") -> npt.NDArray[np.float32]:
    """Probabilities [B, n_classes] of one batch of branches."""
    (output,) = made.run(None, {name: np.ascontiguousarray(value.numpy()) for name, value in branches.items()})
    probabilities: npt.NDArray[np.float32] = output
    return probabilities


def predict(made: ort.InferenceSession, batches: "Iterable[Mapping[str, Tensor]]") -> npt.NDArray[np.float32]:
    """Probabilities [n, n_classes] of all examples, in order, from the branches of each batch."""
    return np.concatenate([run(made, branches) for branches in batches])


@dataclass(frozen=True)
class Configuration:
    """How a session is made; `optimisation` is a GraphOptimizationLevel of ONNX Runtime without its ORT_, in small letters.

    With `tf32` a GPU rounds what matrix products take to 10 bits, as ONNX Runtime does by default on Ampere and later.
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
        """As plain types."""
        return asdict(self)


class RuntimeProcess:
    """The model in an ONNX Runtime release in a process of its own, in one session a configuration.

    Raises RuntimeError, with what ONNX Runtime said, when the model cannot be loaded or run.
    `load_seconds` is for all sessions; `memory`, the most that the process has held so far, is in MB, or None on macOS;
    `seconds` are of the sessions that answered last.
    """

    def __init__(self, python: str | Path, model: str | Path, configurations: Sequence[Configuration]) -> None:
        self.configurations = configurations
        self.inputs: dict[str, list[Any]] = {}
        self.version = ""
        self.load_seconds = 0.0
        self.memory: float | None = None
        self.seconds: list[float] = []
        self._python, self._model = str(python), str(Path(model).resolve())

    def __enter__(self) -> "RuntimeProcess":
        # the environment's own packages, not those that this process was started with
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [self._python, runtime_worker.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean
        )
        request = {"model": self._model, "configurations": [astuple(c) for c in self.configurations]}
        self._send(request, {})
        content, _ = self._receive()
        self.version, self.inputs = content["version"], content["inputs"]
        self.load_seconds, self.memory = content["load_seconds"], content["memory"]
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def ask(self, branches: "Mapping[str, Tensor]", configurations: Sequence[Configuration]) -> None:
        """Hand over a batch of branches; it is worked on while the caller does something else."""
        sessions = [self.configurations.index(c) for c in configurations]
        self._send({"sessions": sessions}, {name: value.numpy() for name, value in branches.items()})

    def answers(self) -> dict[Configuration, npt.NDArray[np.float32]]:
        """Probabilities [B, n_classes] of the batch handed over last, by configuration."""
        content, answers = self._receive()
        self.seconds, self.memory = content["seconds"], content["memory"]
        return {self.configurations[int(session)]: answer for session, answer in answers.items()}

    def _send(self, content: dict[str, Any], arrays: dict[str, Any]) -> None:
        try:
            write_message(cast(Any, self._process.stdin), content, arrays)
        except BrokenPipeError:
            self._receive()  # it says why it ended
            raise

    def _receive(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
        message = read_message(cast(Any, self._process.stdout))
        if message is None:
            raise RuntimeError(f"{self._python}: ONNX Runtime's process ended with {self._process.wait()}")
        if "error" in message[0]:
            raise RuntimeError(f"ONNX Runtime in {self._python}: {message[0]['error']}")
        return message
