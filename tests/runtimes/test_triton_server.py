"""A real Triton server on the repository of a bundle: names, shapes, lengths, batches and errors.

The wheel `nvidia-pytriton` has tritonserver with the Python backend alone, so a copy of the repository has a `model.py` that runs
its ONNX file in ONNX Runtime. Triton's own ONNX Runtime backend is not tried.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime as ort
import pytest

from support.bundles import deploy, trained_with_odd_names
from support.programs import run, uv_environment
from support.trained import Trained

pytestmark = pytest.mark.runtimes
WAYS = ("grpc one by one", "grpc in batches", "http one by one", "http in batches", "at once")

MODEL = """
import pathlib
import time

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        path = pathlib.Path(__file__).with_name("model.onnx")
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def execute(self, requests):
        # all requests in one batch, as the ONNX Runtime backend runs them; np.concatenate fails for other lengths
        given = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        inputs = {name: np.concatenate([one[name] for one in given]) for name in given[0]}
        ends = np.cumsum([len(next(iter(one.values()))) for one in given])[:-1]
        answers = [np.split(answer, ends) for answer in self.session.run(self.outputs, inputs)]
        time.sleep(0.003)  # so that requests wait, and the server makes batches of them
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, parts)]) for parts in zip(*answers)
        ]
"""

CLIENT = """
import collections
import json
import sys
import time

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

reference, name, ports = json.load(open(sys.argv[1])), sys.argv[2], {"grpc": sys.argv[3], "http": sys.argv[4]}
outputs = sys.argv[5].split(",")
clients = {kind: getattr(tritonclient, kind).InferenceServerClient("127.0.0.1:" + port) for kind, port in ports.items()}
by_length, seen = collections.defaultdict(list), {}
for example in reference["examples"]:
    by_length[max(len(values) for values in example["inputs"].values())].append(example)


def tensors(kind, examples):
    given = {b: np.array([e["inputs"][b] or [0.0] for e in examples], np.float32) for b in examples[0]["inputs"]}
    inputs = []
    for branch, values in given.items():
        inputs.append(getattr(tritonclient, kind).InferInput(branch, values.shape, "FP32"))
        inputs[-1].set_data_from_numpy(values)
    return inputs


def expected(examples, output):
    return np.array([example["outputs"][output] if "outputs" in example else example[output] for example in examples])


def difference(answer, examples):
    scales = reference.get("scales", {})
    units = {o: np.maximum(np.abs(expected(examples, o)), scales[o]) if o in scales else 1.0 for o in outputs}
    return max(float((np.abs(answer.as_numpy(o) - expected(examples, o)) / units[o]).max()) for o in outputs)


def error(call):
    try:
        call()
    except InferenceServerException as problem:
        return problem.message()


for kind, client in clients.items():
    seen[kind + " one by one"] = max(difference(client.infer(name, tensors(kind, [e])), [e]) for e in reference["examples"])
    seen[kind + " in batches"] = max(difference(client.infer(name, tensors(kind, b)), b) for b in by_length.values())
client = clients["grpc"]
waiting = []  # of all lengths at once, so that the server makes batches
for example in reference["examples"]:
    inputs = tensors("grpc", [example])
    client.async_infer(name, inputs, lambda result, error, one=example: waiting.append((result, error, one)))
while len(waiting) < len(reference["examples"]):
    time.sleep(0.01)
seen["at once"] = max(difference(result, [example]) for result, _, example in waiting)
statistics = client.get_inference_statistics(name, as_json=True)["model_stats"][0]
seen["requests"] = int(statistics["inference_stats"]["success"]["count"])
seen["executions"] = int(statistics["execution_count"])
seen["config"] = client.get_model_config(name, as_json=True)["config"]
some = by_length[max(by_length)][:1]
whole = tensors("grpc", some)
seen["without one"] = error(lambda: client.infer(name, whole[1:]))
seen["too many"] = error(lambda: client.infer(name, tensors("grpc", some * 1025)))
scalar = next(i for i, tensor in enumerate(whole) if list(tensor.shape()) == [1, 1])
wide = tritonclient.grpc.InferInput(whole[scalar].name(), [1, 2], "FP32")
wide.set_data_from_numpy(np.zeros((1, 2), np.float32))
seen["two values"] = error(lambda: client.infer(name, [wide if i == scalar else t for i, t in enumerate(whole)]))
asked = tritonclient.grpc.InferRequestedOutput(outputs[0], class_count=1)
label = client.infer(name, whole, outputs=[asked]).as_numpy(outputs[0])[0][0].decode().split(":")[2]
seen["label"] = [label, int(np.argmax(expected(some, outputs[0])[0]))]
print(json.dumps(seen))
"""


@dataclass(frozen=True)
class Triton:
    """An environment with the server's wheel and the clients."""

    python: Path

    @property
    def packages(self) -> Path:
        return Path(run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def ask(self, deployed: Path, folder: Path, outputs: list[str]) -> dict[str, Any]:
        """Serve the repository of a bundle, with the backend that the server has, and give what the client found."""
        repository = folder / "triton"
        shutil.copytree(deployed / "triton", repository, ignore=shutil.ignore_patterns("*.py"))
        config = repository / "test/config.pbtxt"
        text = config.read_text()
        assert 'platform: "onnxruntime_onnx"' in text
        config.write_text(text.replace('platform: "onnxruntime_onnx"', 'backend: "python"'))
        (repository / "test/1/model.py").write_text(MODEL)
        (folder / "client.py").write_text(CLIENT)
        ports = free_ports(2)
        log = folder / "server.log"
        with log.open("w") as file:
            server = subprocess.Popen(self._command(repository, folder, ports), stdout=file, stderr=file, env=self._environment)
        try:
            wait_until_ready(server, ports[1], log)
            reference = deployed / "reference/reference.json"
            arguments = (reference, "test", str(ports[0]), str(ports[1]), ",".join(outputs))
            seen: dict[str, Any] = json.loads(run(self.python, folder / "client.py", *arguments))
        finally:
            server.terminate()
            server.wait(60)
        return seen

    def _command(self, repository: Path, folder: Path, ports: list[int]) -> list[str]:
        server, version = self.packages / "pytriton/tritonserver", ".".join(map(str, sys.version_info[:2]))
        backend = folder / "backends/python"
        shutil.copytree(server / "backends/python", backend)
        shutil.copy(server / f"python_backend_stubs/{version}/triton_python_backend_stub", backend)
        return [
            str(server / "bin/tritonserver"), "--model-repository", str(repository), "--backend-directory", str(backend.parent),
            "--grpc-address", "127.0.0.1", "--grpc-port", str(ports[0]), "--http-address", "127.0.0.1",
            "--http-port", str(ports[1]), "--allow-metrics", "false", "--exit-timeout-secs", "10",
        ]  # fmt: skip

    @property
    def _environment(self) -> dict[str, str]:
        # the backend's process is the Python of PATH, with its packages
        return {"PATH": f"{self.python.parent}:/usr/bin:/bin", "LD_LIBRARY_PATH": str(self.packages / "nvidia_pytriton.libs")}


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until_ready(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, f"the server ended:\n{log.read_text()[-3000:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready"):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server is not ready after a minute:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    packages = ("nvidia-pytriton==0.7.0", "tritonclient[grpc,http]==2.73.0", f"onnxruntime=={ort.__version__}")
    server = Triton(uv_environment(tmp_path_factory.mktemp("triton") / "environment", *packages))
    stubs = server.packages / "pytriton/tritonserver/python_backend_stubs"
    stub = stubs / ".".join(map(str, sys.version_info[:2])) / "triton_python_backend_stub"
    if not stub.exists():
        pytest.skip(f"the wheel of Triton has no Python backend for this Python, {sys.version_info[:2]}")
    if missing := re.findall(r"(\S+) => not found", run("ldd", stub)):
        pytest.skip(f"the Python backend of Triton's wheel needs {', '.join(missing)}, which this machine does not have")
    yield server


def test_a_server_gives_the_same_numbers(trained: Trained, triton: Triton, tmp_path: Path) -> None:
    deployed = deploy(trained, tmp_path / "deploy", ["triton"])
    seen = triton.ask(deployed, tmp_path, ["probabilities"])
    assert all(seen[way] <= 1e-6 for way in WAYS), seen
    # the server batches requests, of the same length alone: `model.py` takes no others
    assert seen["executions"] < seen["requests"]
    dims = {line["name"]: line["dims"] for line in seen["config"]["input"]}
    inputs = trained.contract.layout.inputs
    assert dims == {branch: ["-1" if name else "1"] for branch, name in inputs.items()}
    label, index = seen["label"]
    assert label == trained.contract.classes[index]
    first = next(iter(inputs))
    assert "expected 8 inputs but got 7" in seen["without one"] and f"'{first}'" in seen["without one"]
    assert "batch-size must be <= 1024" in seen["too many"]
    assert "unexpected shape for input" in seen["two values"] and "Expected [-1,1], got [1,2]" in seen["two values"]


def test_a_server_gives_all_outputs(trained_to_regress: Trained, triton: Triton, tmp_path: Path) -> None:
    deployed = deploy(trained_to_regress, tmp_path / "deploy", ["triton"])
    seen = triton.ask(deployed, tmp_path, [output.name for output in trained_to_regress.contract.outputs])
    assert all(seen[way] <= 1e-5 for way in WAYS), seen


def test_a_server_takes_oddly_named_branches(triton: Triton, tmp_path: Path) -> None:
    deployed = deploy(trained_with_odd_names(tmp_path), tmp_path / "deploy", ["triton"])
    seen = triton.ask(deployed, tmp_path, ["probabilities"])
    assert all(seen[way] <= 1e-6 for way in WAYS), seen
