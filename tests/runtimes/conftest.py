"""Fixtures of tests that run a bundle's consumers."""

import shutil
from pathlib import Path

import pytest

from support.programs import onnxruntime_cpp, uv_environment


@pytest.fixture(scope="session", name="onnxruntime_cpp")
def headers_and_library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """ONNX Runtime's headers, and a folder with the library of the installed wheel."""
    if not (shutil.which("apt-get") and shutil.which("dpkg") and Path("/etc/apt/sources.list.d/debian.sources").exists()):
        pytest.skip("ONNX Runtime's C++ headers come from Debian, and this machine does not run Debian")
    return onnxruntime_cpp(tmp_path_factory.mktemp("onnxruntime"))


@pytest.fixture(scope="session")
def python_with_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that has ROOT."""
    return uv_environment(tmp_path_factory.mktemp("root") / "environment", "root==0.1a12")
