"""`python -m cyclotrain fetch` against a server of this machine that answers as Zenodo does."""

import dataclasses
import hashlib
import http.server
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uproot

from cyclotrain.__main__ import main
from cyclotrain.core.errors import InputError
from cyclotrain.fetch import download
from cyclotrain.fetch.command import fetch
from cyclotrain.fetch.public_sets import PUBLIC_SETS, PublicSet
from support import REPOSITORY
from support.public_sets import top_tagging_h5

NAMES = ("train.h5", "val.h5", "test.h5")


class Zenodo(http.server.BaseHTTPRequestHandler):
    """The API of a record, and its files, with byte ranges as far as `takes_ranges`."""

    address: str
    folder: Path
    md5: dict[str, str]
    size: dict[str, int]
    takes_ranges: bool
    breaks: int  # how many answers with a file end after `break_after` bytes
    break_after: int
    asked: list[tuple[str, int]]  # file and first byte of each request

    def do_GET(self) -> None:
        if self.path == "/api/records/1":
            base = f"http://127.0.0.1:{self.server.server_address[1]}/api/records/1/files"
            files = [
                {
                    "key": path.name,
                    "size": self.size.get(path.name, path.stat().st_size),
                    "checksum": "md5:" + self.md5.get(path.name, hashlib.md5(path.read_bytes()).hexdigest()),
                    "links": {"self": f"{base}/{path.name}/content"},
                }
                for path in sorted(self.folder.iterdir())
            ]
            return self.answer(200, json.dumps({"metadata": {"license": {"id": "cc-by-4.0"}}, "files": files}).encode())
        name = self.path.split("/")[-2]
        data = (self.folder / name).read_bytes()
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.asked.append((name, first))
        if not self.takes_ranges:
            first = 0
        end = len(data)
        if type(self).breaks:
            type(self).breaks -= 1
            end = min(first + self.break_after, end)
        self.answer(206 if first else 200, data[first:end], length=len(data) - first)

    def answer(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def zenodo(tmp_path: Path) -> Iterator[type[Zenodo]]:
    state = {"folder": tmp_path / "zenodo", "md5": {}, "size": {}, "takes_ranges": True, "breaks": 0, "break_after": 20_000}
    Handler = type("Handler", (Zenodo,), {**state, "asked": []})  # noqa: N806
    Handler.folder.mkdir()
    for seed, name in enumerate(NAMES):
        top_tagging_h5(Handler.folder / name, 20, seed)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    Handler.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield Handler
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.01)


@pytest.fixture
def top_tagging(zenodo: type[Zenodo]) -> PublicSet:
    return dataclasses.replace(PUBLIC_SETS["top_tagging"], record=f"{zenodo.address}/api/records/1")


def test_a_set_is_loaded_checked_and_converted_once(
    top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    fetch(top_tagging, folder)
    for name in NAMES:
        with uproot.open(folder / f"{Path(name).stem}.root") as file:
            assert file["Jets"].num_entries == 20
    printed = " ".join(capsys.readouterr().out.split())
    for words in (
        "doi:10.5281/zenodo.2603256",
        "Licence: cc-by-4.0",
        "To load: 3 files",
        "train.h5: loaded; its checksum is right",
    ):
        assert words in printed
    assert sorted(zenodo.asked) == [(name, 0) for name in sorted(NAMES)]

    (folder / "train.h5").unlink()  # not needed any more
    (folder / "val.root").unlink()
    fetch(top_tagging, folder)
    assert len(zenodo.asked) == 3
    assert (folder / "val.root").exists()


def test_files_are_chosen_by_globs(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    fetch(top_tagging, tmp_path / "data", ["t*st.h5"])
    assert zenodo.asked == [("test.h5", 0)]
    with pytest.raises(InputError, match=r"no published file fits \*\.root; there are train\.h5, val\.h5, test\.h5"):
        fetch(top_tagging, tmp_path / "data", ["*.root"])


def test_loading_goes_on_where_the_connection_broke(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    zenodo.breaks = 2
    fetch(top_tagging, tmp_path, ["val.h5"])
    assert zenodo.asked == [("val.h5", 0), ("val.h5", 20_000), ("val.h5", 40_000)]
    assert (tmp_path / "val.root").exists()


def test_loading_goes_on_after_a_loss_of_the_network(
    top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zenodo.breaks, pauses = 1, list[float]()
    connect = download._get

    def lost_twice(url: str, *, first_byte: int = 0) -> Any:
        if first_byte and len(pauses) < 3:  # after the broken connection, and once more
            return connect(url.replace(zenodo.address, "http://127.0.0.1:9"), first_byte=first_byte)
        return connect(url, first_byte=first_byte)

    monkeypatch.setattr(download, "_get", lost_twice)
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    fetch(top_tagging, tmp_path, ["val.h5"])
    assert (tmp_path / "val.root").exists() and zenodo.asked == [("val.h5", 0), ("val.h5", 20_000)]
    assert len(pauses) == 3 and sorted(pauses) == pauses  # it waits longer each time


def test_a_later_command_goes_on_too(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    (tmp_path / "val.h5.part").write_bytes((zenodo.folder / "val.h5").read_bytes()[:30_000])
    zenodo.breaks, zenodo.break_after = 100, 0
    with pytest.raises(
        InputError, match=r"val\.h5/content: the connection broke after 30,000 bytes .*run the same command again"
    ):
        fetch(top_tagging, tmp_path, ["val.h5"])
    zenodo.breaks = 0
    zenodo.asked.clear()
    fetch(top_tagging, tmp_path, ["val.h5"])
    assert zenodo.asked == [("val.h5", 30_000)]
    assert (tmp_path / "val.root").exists() and not (tmp_path / "val.h5.part").exists()


def test_a_part_that_is_too_long_is_loaded_anew(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    (tmp_path / "val.h5.part").write_bytes(bytes(10**6))
    fetch(top_tagging, tmp_path, ["val.h5"])
    assert zenodo.asked == [("val.h5", 0)]


def test_a_server_without_ranges_sends_all_again(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    zenodo.takes_ranges, zenodo.breaks = False, 1
    fetch(top_tagging, tmp_path, ["val.h5"])
    assert (tmp_path / "val.h5").read_bytes() == (zenodo.folder / "val.h5").read_bytes()


def test_a_wrong_checksum_is_an_error_and_the_file_is_not_kept(
    top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path
) -> None:
    zenodo.md5["val.h5"] = "0" * 32
    with pytest.raises(InputError, match=r"has the MD5 [0-9a-f]{32}, and the published file has 0{32}"):
        fetch(top_tagging, tmp_path / "data", ["val.h5"])
    assert not list((tmp_path / "data").iterdir())


def test_a_wrong_file_in_the_folder_is_an_error_and_stays(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    (tmp_path / "val.h5").write_bytes((zenodo.folder / "test.h5").read_bytes())
    with pytest.raises(InputError, match=r"val\.h5' has .*and the published file has"):
        fetch(top_tagging, tmp_path, ["val.h5"])
    assert (tmp_path / "val.h5").exists() and not zenodo.asked


def test_a_file_that_zenodo_lacks_is_named(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    (zenodo.folder / "val.h5").unlink()
    with pytest.raises(InputError, match=r"has no 'val\.h5' any more, but test\.h5, train\.h5"):
        fetch(top_tagging, tmp_path)


def test_another_answer_than_zenodos_is_an_error_that_names_the_address(zenodo: type[Zenodo], tmp_path: Path) -> None:
    (zenodo.folder / "content").write_text("{}")
    record = f"{zenodo.address}/content/x"
    other = dataclasses.replace(PUBLIC_SETS["top_tagging"], record=record)
    with pytest.raises(InputError, match=r"/content/x gives no licence and no list of files"):
        fetch(other, tmp_path / "data")


def test_a_disk_that_is_too_small_is_known_before_loading(top_tagging: PublicSet, zenodo: type[Zenodo], tmp_path: Path) -> None:
    zenodo.size["val.h5"] = 10**18
    with pytest.raises(InputError, match=r"1,000,000,000\.0 GB are to be loaded into .* GB free"):
        fetch(top_tagging, tmp_path, ["val.h5"])
    assert not zenodo.asked


def test_a_disk_that_becomes_full_is_named_and_the_part_stays(top_tagging: PublicSet, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large; '.*val\.h5\.part' has .* bytes now: make room"):
            fetch(top_tagging, tmp_path, ["val.h5"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    fetch(top_tagging, tmp_path, ["val.h5"])


def test_without_a_network_files_of_the_folder_are_used(
    top_tagging: PublicSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offline = dataclasses.replace(top_tagging, record="http://nowhere.invalid/api/records/1")
    top_tagging_h5(tmp_path / "val.h5", 20)
    fetch(offline, tmp_path, ["val.h5"])
    assert "val.h5: used from the folder; its checksum is unknown without a network" in capsys.readouterr().out
    assert (tmp_path / "val.root").exists()
    with pytest.raises(
        InputError, match=r"nowhere\.invalid cannot be reached .*Load train\.h5, test\.h5 by hand from https://zenodo"
    ):
        fetch(offline, tmp_path)


def test_the_command_without_a_network_ends_with_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "https_proxy": "http://127.0.0.1:9", "no_proxy": "", "PYTHONPATH": str(REPOSITORY / "scripts")}
    command = [sys.executable, "-m", "cyclotrain", "fetch", "top_tagging"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("zenodo.org cannot be reached")
    by_hand = "Load train.h5, val.h5, test.h5 by hand from https://zenodo.org/records/2603256 into 'data/top_tagging'"
    assert done.stderr.endswith(f"{by_hand}, and run this again\n")
    assert done.stderr.count("\n") == 1


def test_a_set_that_is_not_on_zenodo_says_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert main(["fetch", "higgs", "--folder", str(tmp_path / "higgs")]) == 1
    words = capsys.readouterr().err
    assert words.startswith("archive.ics.uci.edu cannot be reached")
    assert "Load HIGGS.csv.gz by hand from https://archive.ics.uci.edu/dataset/280/higgs into" in words


def test_a_file_of_unknown_size_that_breaks_is_loaded_anew(zenodo: type[Zenodo], tmp_path: Path) -> None:
    url = f"{zenodo.address}/val.h5/content"
    file = download.PublishedFile("val.h5", url, None, None)
    zenodo.breaks = 1
    with pytest.raises(InputError, match="the connection broke after 20,000 bytes"):
        download.download(file, tmp_path / "val.h5")
    download.download(file, tmp_path / "val.h5")
    assert zenodo.asked == [("val.h5", 0), ("val.h5", 0)]
    assert (tmp_path / "val.h5").read_bytes() == (zenodo.folder / "val.h5").read_bytes()


def test_an_unknown_set_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "top"])
    assert "jetclass" in capsys.readouterr().err
