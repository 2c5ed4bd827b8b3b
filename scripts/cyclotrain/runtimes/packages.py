"""What a package of AOTInductor (.pt2) says of itself, read without LibTorch."""

import json
import re
import zipfile
from pathlib import Path


def package_metadata(path: str | Path) -> dict[str, str]:
    """Its metadata; raises RuntimeError if the file is no package."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".wrapper_metadata.json"))
            metadata: dict[str, str] = json.loads(archive.read(name))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RuntimeError(f"{path} cannot be read as a package of AOTInductor: {error}") from error
    return metadata


def needed_glibc(path: str | Path) -> str:
    """The oldest glibc that loads its library, such as `2.34`."""
    with zipfile.ZipFile(path) as archive:
        (library,) = (archive.read(name) for name in archive.namelist() if name.endswith(".so"))
    versions = {(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", library)}
    return ".".join(map(str, max(versions)))
