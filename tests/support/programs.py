"""Programs that run a bundle's consumers: commands, environments, compilers."""

import subprocess
import sys
from pathlib import Path

import onnxruntime as ort

SANITISERS = "-fsanitize=address,undefined -fno-sanitize-recover=all"


def run(*command: str | Path, expected: int = 0) -> str:
    """What a command says; it must end with the code that is expected."""
    process = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert process.returncode == expected, f"{command} ended with {process.returncode}:\n{process.stdout}\n{process.stderr}"
    return process.stdout + process.stderr


def uv_environment(folder: Path, *packages: str) -> Path:
    """Python of a new environment with some packages."""
    run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, folder)
    run(sys.executable, "-m", "uv", "--system-certs", "pip", "install", "--quiet", "--python", folder / "bin/python", *packages)
    return folder / "bin/python"


def onnxruntime_cpp(folder: Path) -> tuple[Path, Path]:
    """ONNX Runtime's headers, and a folder with the library of the installed wheel."""
    run("bash", Path(__file__).parents[1] / "onnxruntime_headers.sh", folder)
    (library,) = (Path(ort.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (folder / "lib").mkdir()
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # the name that the linker looks for, and the SONAME
        (folder / "lib" / name).symlink_to(library)
    return folder / "usr/include/onnxruntime", folder / "lib"
