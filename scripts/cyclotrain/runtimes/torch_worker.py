"""Run TorchScript, or a package of AOTInductor, in this environment's LibTorch for another process, as `worker.py` does.

    python -m cyclotrain.runtimes.torch_worker PREFIX

PREFIX: of the names in the metadata of the model.
"""

import sys
import time
from typing import BinaryIO

import torch

from cyclotrain.runtimes.in_process import in_process
from cyclotrain.runtimes.sessions import Configuration
from cyclotrain.runtimes.worker import memory, read_message, side_by_side, write_message


def main(prefix: str, stdin: BinaryIO, stdout: BinaryIO) -> None:
    """Load the model of the first message; then run each batch in the configurations that its message lists."""
    message = read_message(stdin)
    if message is None:
        return
    request = message[0]
    configurations = [Configuration(**c) for c in request["configurations"]]
    memory_before, start = memory("VmHWM"), time.perf_counter()
    model = in_process(request["model"], configurations, prefix=prefix)
    try:
        with model:
            load_seconds = time.perf_counter() - start
            loaded = {"runtime": model.runtime, "inputs": model.inputs, "load_seconds": load_seconds, "memory": memory_before}
            write_message(stdout, loaded, {})
            while message := read_message(stdin):
                header, arrays = message
                values = model.by_position({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
                seconds, answers = [], {}
                for i in header["sessions"]:
                    start = time.perf_counter()
                    outputs = model.run(values, configurations[i])
                    seconds.append(time.perf_counter() - start)
                    answers[str(i)] = side_by_side([output.numpy() for output in outputs])
                write_message(stdout, {"seconds": seconds, "memory": memory("VmHWM")}, answers)
    except Exception as error:  # the other side reports whatever LibTorch raises
        write_message(stdout, {"error": str(error)}, {})


if __name__ == "__main__":
    out = sys.stdout.buffer
    sys.stdout = sys.stderr  # a library must not print into the messages
    torch.set_num_threads(1)
    main(sys.argv[1], sys.stdin.buffer, out)
