"""Fixtures of tests that run a bundle's consumers."""

import shutil
import subprocess
from pathlib import Path

import onnxruntime as ort
import pytest

from support.bundles import uv_environment

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def onnxruntime_cpp(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """ONNX Runtime's headers, and a folder with the library of the installed wheel."""
    if not (shutil.which("apt-get") and shutil.which("dpkg") and Path("/etc/apt/sources.list.d/debian.sources").exists()):
        pytest.skip("ONNX Runtime's C++ headers come from Debian, and this machine does not run Debian")
    folder = tmp_path_factory.mktemp("onnxruntime")
    subprocess.run(["bash", HERE.parent / "onnxruntime_headers.sh", folder], check=True)
    (library,) = (Path(ort.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (folder / "lib").mkdir()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # the name that the linker looks for, and the SONAME
        (folder / "lib" / name).symlink_to(library)
    return folder / "usr/include/onnxruntime", folder / "lib"


@pytest.fixture(scope="session")
def python_with_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that has ROOT."""
    return uv_environment(tmp_path_factory.mktemp("root") / "environment", "root==0.1a12")
