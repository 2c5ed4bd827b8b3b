"""Load published files: checked by size and MD5, and continued after an interruption."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import requests
import rich.progress
import urllib3

from cyclotrain.core.errors import InputError

_TRIES = 5  # in a row, without a new byte
_SECONDS = 60  # without an answer
_PAUSE = 3.0  # seconds before the second try without a new byte; then twice, three times, ... as long
_BLOCK = 1 << 20
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError)
_PROGRESS = (
    rich.progress.TextColumn("{task.description}"),
    rich.progress.BarColumn(),
    rich.progress.DownloadColumn(),
    rich.progress.TransferSpeedColumn(),
    rich.progress.TimeRemainingColumn(),
)


class UnreachableError(InputError):
    """A host does not answer."""


@dataclass(frozen=True)
class PublishedFile:
    """A file at `url`; size in bytes and MD5 are None where the publisher does not give them."""

    name: str
    url: str
    size: int | None
    md5: str | None


@dataclass(frozen=True)
class Record:
    """The licence and the files, by name, that a record of Zenodo lists."""

    licence: str
    files: dict[str, PublishedFile]


def zenodo_record(address: str) -> Record:
    """What a record of Zenodo says of itself; `address` is that in Zenodo's API.

    Raises UnreachableError without a network, InputError for an answer of another form.
    """
    with _get(address) as answer:
        try:
            record = answer.json()
            files = [
                PublishedFile(f["key"], f["links"]["self"], f["size"], f["checksum"].removeprefix("md5:"))
                for f in record["files"]
            ]
            return Record(record["metadata"]["license"]["id"], {file.name: file for file in files})
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{address} gives no licence and no list of files with checksums, as Zenodo does ({error!r}); please tell us"
            ) from error


def size_of(url: str) -> int | None:
    """The size in bytes that the host gives for `url`, if it gives one; raises UnreachableError without a network."""
    with _get(url) as answer:
        length = answer.headers.get("Content-Length")
        return int(length) if length else None


def part_of(path: Path) -> Path:
    """Where an incomplete file is kept until the next try."""
    return path.with_name(f"{path.name}.part")


def bytes_in(path: Path) -> int:
    """The size of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def download(file: PublishedFile, path: Path) -> None:
    """Load `file` to `path`, from where the last try ended; `path` is then whole, and its checksum is right.

    Raises InputError if the connection breaks again and again, or if the loaded file has another size or checksum than published;
    OSError if the disk is full.
    """
    part = part_of(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    if file.size is None or bytes_in(part) > file.size:  # of unknown size, nothing would tell whether the part is the whole
        part.unlink(missing_ok=True)
    failures, is_whole = 0, bytes_in(part) == file.size
    with rich.progress.Progress(*_PROGRESS) as progress:
        task = progress.add_task(file.name, total=file.size)
        while not is_whole:
            before = bytes_in(part)
            try:
                for received in _append(file.url, part):
                    progress.update(task, completed=received)
                is_whole = True
            except (*_BROKEN, UnreachableError) as error:
                failures = 0 if bytes_in(part) > before else failures + 1
                time.sleep(_PAUSE * failures)
                if failures == _TRIES or file.size is None:
                    raise InputError(
                        f"{file.url}: the connection broke after {bytes_in(part):,} bytes ({error}); run the same command again "
                        "to go on"
                    ) from error
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"{error.strerror}; '{part}' has {bytes_in(part):,} bytes now: make room, and run this again to go on",
                ) from error
    try:
        check(part, file)
    except InputError:
        part.unlink()
        raise
    part.replace(path)


def check(path: Path, file: PublishedFile) -> None:
    """Compare the size and the MD5 of `path` with the published ones; raises InputError if one differs."""
    if file.size is not None and path.stat().st_size != file.size:
        raise InputError(
            f"'{path}' has {path.stat().st_size:,} bytes, and the published file has {file.size:,}; delete it, and run this again"
        )
    if file.md5 is not None:
        with path.open("rb") as opened:
            md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 != file.md5:
            raise InputError(f"'{path}' has the MD5 {md5}, and the published file has {file.md5}; delete it, and run this again")


def _append(url: str, part: Path) -> Iterator[int]:
    """Load what is missing of `part` from `url`, and give its size after each block."""
    have = bytes_in(part)
    answer = _get(url, first_byte=have)
    # a host that cannot begin in the middle sends all of the file
    mode = "ab" if answer.status_code == HTTPStatus.PARTIAL_CONTENT else "wb"
    with answer, part.open(mode) as opened:
        for block in answer.raw.stream(_BLOCK, decode_content=False):
            opened.write(block)
            yield opened.tell()


def _get(url: str, *, first_byte: int = 0) -> requests.Response:
    """The answer of a host, of which the body is not read yet; it waits and asks again where the host is busy."""
    session = requests.Session()
    busy = urllib3.Retry(total=4, connect=0, read=0, other=0, backoff_factor=1, status_forcelist=(429, 502, 503, 504))
    for scheme in ("https://", "http://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=busy))
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={first_byte}-"} if first_byte else {})
    try:
        answer = session.get(url, headers=headers, stream=True, timeout=_SECONDS)
        answer.raise_for_status()
    except requests.HTTPError as error:
        raise InputError(f"{error}; the file may have moved: please tell us") from error
    except requests.exceptions.RetryError as error:
        raise InputError(f"{urlsplit(url).hostname} is busy ({error}); run the same command again later") from error
    except requests.RequestException as error:
        raise UnreachableError(f"{urlsplit(url).hostname} cannot be reached ({_cause(error)})") from error
    return answer


def _cause(error: BaseException) -> str:
    """The innermost words of a failed connection, such as "Name or service not known"."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return str(error)
