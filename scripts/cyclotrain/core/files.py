"""Files that are whole or not there, as JSON or anything else, and their checksums."""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path, for a file or a folder, moved to `path` when the block ends without error and removed when it fails.

    It is on the disk that a batch system gave to the job, if it did, and then copied beside `path` and renamed, as a file system
    that many machines share is slow for many small writes; else it is beside `path`. Raises OSError naming `path` when a disk is
    full or not writable.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    scratch = _scratch()
    try:
        if scratch:
            with tempfile.TemporaryDirectory(prefix="cyclotrain-", dir=scratch, ignore_cleanup_errors=True) as folder:
                yield Path(folder) / part.name
                shutil.move(Path(folder) / part.name, part, shutil.copyfile)
        else:
            yield part
        if path.is_dir():
            shutil.rmtree(path)
        part.replace(path)
    except OSError as error:
        way = f", by way of '{scratch}'" if scratch else ""
        raise OSError(error.errno, f"{error.strerror or error}; '{path}' was not written{way}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A new empty folder that takes the place of `path`, as `atomic` does it."""
    with atomic(path) as temporary:
        temporary.mkdir()
        yield temporary


def _scratch() -> str | None:
    """The disk of this job: HTCondor always names one; Slurm's sites may, by TMPDIR, which Snakemake sets to /tmp otherwise.

    In an image, the disk of the machine may not be there.
    """
    condor, slurm, temporary = (os.environ.get(name) for name in ("_CONDOR_SCRATCH_DIR", "SLURM_JOB_ID", "TMPDIR"))
    named = condor or (temporary if slurm and temporary != "/tmp" else None)
    return named if named and os.access(named, os.W_OK) else None


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all; NaN and infinity are refused, JSON has neither."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with atomic(path) as temporary:
        temporary.write_text(text)


def read_json(path: str | Path) -> Any:
    """The content of a JSON file."""
    return json.loads(Path(path).read_text())


def read_json_lines(path: str | Path) -> list[Any]:
    """The content of a file with a JSON value in each line."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_xxh3(path: str | Path) -> str:
    """XXH3 (128 bits) of a file's bytes, as `xxhsum -H2` prints it; for ntuples, of which SHA-256 reads a GB a second."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


class HashedFile(io.BufferedWriter):
    """A new file of ours, with the XXH3 (128 bits) of what was written to it, as to read it again would take longer."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self._xxh3 = xxhash.xxh3_128()

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        self._xxh3.update(data)
        return super().write(data)

    def xxh3(self) -> str:
        """Of all that was written; that of the file, as nothing is written twice."""
        return self._xxh3.hexdigest()


def content_sha256(content: Any) -> str:
    """SHA-256 of the JSON form of `content`, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
