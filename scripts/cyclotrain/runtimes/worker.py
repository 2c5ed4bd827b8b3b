"""A model in this interpreter's ONNX Runtime, for another process: batches from stdin, answers to stdout.

It is run by the Python of an environment with an ONNX Runtime release of its own, as old as Python 3.7, so it imports that
runtime and NumPy alone. A message is a line of JSON and the bytes of its float32 arrays; runtime.py speaks the other side.
Times and memory are taken here, so that those of the pipe are not in them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnxruntime as ort


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The next message: (content, arrays by name); None at the end."""
    line = stream.readline()
    if not line:
        return None
    content = json.loads(line)
    arrays = {}
    for name, shape in content.pop("arrays"):
        size = 4 * int(np.prod(shape, dtype=np.int64))
        data = stream.read(size)
        if len(data) != size:
            return None
        arrays[name] = np.frombuffer(data, np.float32).reshape(shape)
    return content, arrays


def write_message(stream: BinaryIO, content: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write one message; the arrays are float32."""
    content = dict(content, arrays=[(name, array.shape) for name, array in arrays.items()])
    stream.write(json.dumps(content).encode() + b"\n")
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array, np.float32).tobytes())
    stream.flush()


def make_session(
    model: str, provider: str, optimisation: str, threads: int, tf32: bool = False, *, keeps_memory: bool = True
) -> ort.InferenceSession:
    """A session with one provider, which keeps the memory of a batch for the next or gives it back.

    A GPU rounds what matrix products take to `tf32`, of 10 bits, only where that is asked for; ONNX Runtime's default is to.
    Raises RuntimeError if ONNX Runtime fell back to another provider, which it does in silence.
    """
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = keeps_memory
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, "ORT_" + optimisation.upper())
    # many sessions live here; threads that wait by spinning would take the cores from each other
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = [provider]
    if provider == "CUDAExecutionProvider":
        ort.preload_dlls()
        options.log_severity_level = 3  # it warns that the CPU does what is about shapes, as it should
        providers = [(provider, {"use_tf32": str(int(tf32))})]
    made = ort.InferenceSession(model, options, providers=providers)
    if made.get_providers()[0] != provider:
        raise RuntimeError(f"ONNX Runtime {ort.__version__} cannot use {provider} here; it took {made.get_providers()}")
    return made


def peak_memory() -> float | None:
    """The most memory that this process has held, in MB; None where there is no /proc (macOS)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    # not getrusage's, which counts the parent's before exec
    (peak,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(peak) / 1024


def main(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Make the sessions that the first message asks for; then answer each batch with what those of its sessions say."""
    message = read_message(stdin)
    if message is None:
        return
    request = message[0]
    before = {"memory": peak_memory()}
    start = time.perf_counter()
    try:
        # the one as deployed as it is there; with all that are beside it a gate would hold 8 GB
        sessions = [
            make_session(request["model"], provider, *how, keeps_memory=how[:2] == ["enable_all", 1])
            for provider, *how in request["configurations"]
        ]
    except Exception as error:  # whatever ONNX Runtime raises is for the other side to report
        write_message(stdout, {"error": str(error)}, {})
        return
    before["load_seconds"] = time.perf_counter() - start
    inputs = {i.name: i.shape for i in sessions[0].get_inputs()}
    write_message(stdout, {"version": ort.__version__, "inputs": inputs, **before}, {})
    while True:
        message = read_message(stdin)
        if message is None:
            return
        answers, seconds = {}, []
        try:
            for i in message[0]["sessions"]:
                start = time.perf_counter()
                answers[str(i)] = sessions[i].run(None, message[1])[0]
                seconds.append(time.perf_counter() - start)
        except Exception as error:
            write_message(stdout, {"error": str(error)}, {})
            return
        write_message(stdout, {"seconds": seconds, "memory": peak_memory()}, answers)


if __name__ == "__main__":
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is not for the other side
    main(sys.stdin.buffer, out)
