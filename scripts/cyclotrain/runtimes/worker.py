"""Run a model in this interpreter's ONNX Runtime for another process: batches from stdin, answers to stdout.

The interpreter belongs to the environment of an ONNX Runtime release and may be as old as Python 3.7, so this file imports only
that runtime and NumPy. A message is a line of JSON (the header), then the bytes of its float32 arrays; `sessions.py` is the other
side. Time and memory are measured here, so that they exclude the pipe.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnxruntime as ort

_LARGE = 1000  # MB of a process beside others


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The next message: (header, arrays by name); None at the end."""
    line = stream.readline()
    if not line:
        return None
    header = json.loads(line)
    arrays = {}
    for name, shape in header.pop("arrays"):
        size = 4 * int(np.prod(shape, dtype=np.int64))
        data = stream.read(size)
        if len(data) != size:
            return None
        arrays[name] = np.frombuffer(data, np.float32).reshape(shape)
    return header, arrays


def write_message(stream: BinaryIO, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write one message; the arrays are written as float32."""
    header = dict(header, arrays=[(name, array.shape) for name, array in arrays.items()])
    stream.write(json.dumps(header).encode() + b"\n")
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array, np.float32).tobytes())
    stream.flush()


def side_by_side(outputs: list[Any]) -> Any:
    """The outputs of a model [B, columns] side by side."""
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)


def make_session(
    model: str, *, provider: str, optimisation: str, threads: int, tf32: bool = False, has_arena: bool = True
) -> ort.InferenceSession:
    """A session with one execution provider. `has_arena`: keep the memory of a batch for the next one, or free it.

    `tf32`: a GPU rounds the inputs of matrix products to TF32 (10 bits); this is ONNX Runtime's default, but not ours.
    Raises RuntimeError if ONNX Runtime uses another provider, which it does without a message.
    """
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = has_arena
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, "ORT_" + optimisation.upper())
    # a process holds many sessions: threads that wait by spinning would take the cores from each other
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = [provider]
    if provider == "CUDAExecutionProvider":
        ort.preload_dlls()
        options.log_severity_level = 3  # hides the warning that shape operations run on the CPU, which is intended
        providers = [(provider, {"use_tf32": str(int(tf32))})]
    session = ort.InferenceSession(model, options, providers=providers)
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"ONNX Runtime {ort.__version__} cannot use {provider} here; it uses {session.get_providers()}")
    return session


def free_arena(session: ort.InferenceSession, arrays: dict[str, Any]) -> None:
    """Free what the session's arena keeps. ONNX Runtime does so only behind a run, here one of the first example."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session.run(None, {name: array[:1] for name, array in arrays.items()}, options)


def memory(kind: str) -> float | None:
    """Memory of this process in MB: `VmRSS` now, `VmHWM` at its peak. None without /proc (macOS)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    # not from getrusage, which also counts the parent's memory before exec
    (size,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith(f"{kind}:"))
    return int(size) / 1024


def main(stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Make the sessions that the first message lists; then run each batch in the sessions that its message lists."""
    message = read_message(stdin)
    if message is None:
        return
    request = message[0]
    memory_before = memory("VmHWM")
    start = time.perf_counter()
    try:
        # only the session with the settings of a deployment has an arena, unless all are to keep their memory
        has_arena = [
            request["keeps_memory"] or (c["optimisation"], c["threads"]) == ("enable_all", 1) for c in request["configurations"]
        ]
        sessions = [
            make_session(request["model"], has_arena=arena, **c)
            for arena, c in zip(has_arena, request["configurations"])  # noqa: B905  `strict` is of Python 3.10
        ]
    except Exception as error:  # the other side reports whatever ONNX Runtime raises
        write_message(stdout, {"error": str(error)}, {})
        return
    load_seconds = time.perf_counter() - start
    inputs = {i.name: i.shape for i in sessions[0].get_inputs()}
    loaded = {
        "runtime": f"onnxruntime {ort.__version__}",
        "inputs": inputs,
        "load_seconds": load_seconds,
        "memory": memory_before,
    }
    write_message(stdout, loaded, {})
    while True:
        message = read_message(stdin)
        if message is None:
            return
        answers, seconds = {}, []
        try:
            header, arrays = message
            for i in header["sessions"]:
                start = time.perf_counter()
                outputs = sessions[i].run(None, arrays)
                seconds.append(time.perf_counter() - start)
                if has_arena[i] and not request["keeps_memory"] and (memory("VmRSS") or 0) > _LARGE:
                    free_arena(sessions[i], arrays)
                answers[str(i)] = side_by_side(outputs)
        except Exception as error:
            write_message(stdout, {"error": str(error)}, {})
            return
        write_message(stdout, {"seconds": seconds, "memory": memory("VmHWM")}, answers)


if __name__ == "__main__":
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # a library must not print into the messages
    try:
        main(sys.stdin.buffer, out)
    except KeyboardInterrupt:  # Ctrl-C reaches every process of a run; the one that asks says so
        sys.exit(130)
