"""Where the real experiment files lie."""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from cyclotrain.core.files import atomic

REAL_FILES = "CYCLOTRAIN_REAL_FILES"


def real_file(name: str) -> Path:
    """A real experiment file from the folder that CYCLOTRAIN_REAL_FILES names, else from scikit-hep-testdata; or skip."""
    folder = os.environ.get(REAL_FILES)
    if folder and (Path(folder) / name).is_file():
        return Path(folder) / name
    skhep_testdata = pytest.importorskip(
        "skhep_testdata",
        reason=f"'{name}' is not in ${REAL_FILES} ({folder}), and scikit-hep-testdata is not installed",
    )
    try:
        return Path(skhep_testdata.data_path(name))
    except Exception as error:
        pytest.skip(f"'{name}' is neither in ${REAL_FILES} ({folder}) nor to be had from scikit-hep-testdata: {error}")


# the source archive of this release has real files for its own tests
COFFEA, COFFEA_SHA256 = "coffea==2026.9.0", "7dfc1b54d9d1533c8a5bd8a5786d13272ea1a170b0817061d4478f721aedae04"


def published_file(name: str) -> Path:
    """A real experiment file of those that coffea is published with, fetched once by pip (30 MB); or skip without a network."""
    folder = Path(tempfile.gettempdir()) / f"cyclotrain-{COFFEA_SHA256[:16]}"
    archive, path = folder / f"{COFFEA.replace('==', '-')}.tar.gz", folder / name
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not archive.exists():
            with tempfile.TemporaryDirectory(dir=folder) as download:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "coffea", COFFEA]
                done = subprocess.run(command, cwd=download, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"'{name}' cannot be fetched: {done.stderr[-300:]}")
                fetched = Path(download) / archive.name
                assert hashlib.sha256(fetched.read_bytes()).hexdigest() == COFFEA_SHA256
                fetched.replace(archive)
        if not path.exists():
            with tarfile.open(archive) as files, atomic(path) as temporary:
                file = files.extractfile(f"{archive.name.removesuffix('.tar.gz')}/tests/samples/{name}")
                assert file
                temporary.write_bytes(file.read())
    return path
