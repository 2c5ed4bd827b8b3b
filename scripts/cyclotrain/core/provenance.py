"""Where a result came from: the commit and the software."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_SOFTWARE = ("torch", "lightning", "uproot", "awkward", "numpy", "pyarrow", "onnx", "onnxscript")


def commit() -> str:
    """The commit of this code's repository, plus `-dirty` if files differ; `unknown` outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        completed = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return "unknown"
    return completed.stdout.strip() if completed.returncode == 0 else "unknown"


def software() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version(), **{package: version(package) for package in _SOFTWARE}}
