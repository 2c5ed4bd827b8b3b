"""Atomic writes of files and folders, locks between runs, JSON, and checksums."""

import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash
from filelock import FileLock, Timeout

_log = logging.getLogger(__name__)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path for a file or a folder: moved to `path` if the block ends without error, removed if it fails.

    If the batch system gave the job a disk of its own, the temporary path is there, and is then copied beside `path` and renamed:
    a shared file system is slow for many small writes. Otherwise it is beside `path`. Raises OSError, which names `path`, when
    a disk is full or not writable.
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
        via_scratch = f" (through the job's own disk '{scratch}')" if scratch else ""
        raise OSError(error.errno, f"{error.strerror or error}; '{path}' was not written{via_scratch}") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A new empty folder that replaces `path` in the way of `atomic`."""
    with atomic(path) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Keep other processes that lock `path` out until the block ends; the lock is the file `<path>.lock`, which stays.

    For what the runs of one folder share. The lock of a process that is killed is free.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("waiting for another job, which uses '%s'", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _scratch() -> str | None:
    """The job's own disk, if any: HTCondor always names one; a Slurm site may set TMPDIR, which Snakemake otherwise sets to /tmp.

    In a container, the machine's disk may be missing.
    """
    condor, slurm, temporary = (os.environ.get(name) for name in ("_CONDOR_SCRATCH_DIR", "SLURM_JOB_ID", "TMPDIR"))
    named = condor or (temporary if slurm and temporary != "/tmp" else None)
    return named if named and os.access(named, os.W_OK) else None


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; raises ValueError for NaN and infinity, which JSON does not have."""
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with atomic(path) as temporary:
        temporary.write_text(text)


def read_json(path: str | Path) -> Any:
    """The value in a JSON file."""
    return json.loads(Path(path).read_text())


def read_json_lines(path: str | Path) -> list[Any]:
    """The values of a file with one JSON value per line."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_xxh3(path: str | Path) -> str:
    """XXH3 (128 bits) of a file's bytes, as `xxhsum -H2` prints it; for ntuples, since SHA-256 only reads 1 GB/s."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


class HashedFile(io.BufferedWriter):
    """A new file that computes the XXH3 (128 bits) of its bytes while they are written, which saves reading it again."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self._xxh3 = xxhash.xxh3_128()

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        self._xxh3.update(data)
        return super().write(data)

    def xxh3(self) -> str:
        """XXH3 of all bytes written; it is the file's, since nothing is overwritten."""
        return self._xxh3.hexdigest()


def json_sha256(value: Any) -> str:
    """SHA-256 of `value` as JSON; it does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
