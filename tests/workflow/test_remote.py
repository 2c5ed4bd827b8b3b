"""Ntuples over the network: a real XRootD server, HTTP and HTTPS, with connections that break during reading."""

import functools
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from cyclotrain.config import load
from cyclotrain.core.errors import FileError
from cyclotrain.ingest import ntuples
from cyclotrain.ingest.ntuples import NetworkError, open_tree, read_batches
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from support.toys import jets, raw_config
from support.workflow import Workflow
from xrootd_server import free_port

pytestmark = pytest.mark.workflow
pytest_plugins = ["xrootd_server"]


class Breaking:
    """A proxy that cuts all connections once, after `after` bytes; with `for_good`, it also refuses new ones from then on."""

    def __init__(self, target: int, after: int, for_good: bool = False) -> None:
        self.target, self.left, self.for_good, self.cuts = target, after, for_good, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            if self.cuts and self.for_good:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            self.open += [client, server]
            for source, sink, counts in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.pump, args=(source, sink, counts), daemon=True).start()

    def pump(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        try:
            while data := source.recv(1 << 14):
                sink.sendall(data)
                self.left -= len(data) * counts
                if counts and self.left < 0 and not self.cuts:
                    self.cuts += 1
                    for connection in self.open:
                        connection.shutdown(socket.SHUT_RDWR)
                    self.open.clear()
        except OSError:
            return  # the other side was cut


def jet_pts(path: str, step: int = 100_000) -> np.ndarray:
    with open_tree(path, "Jets") as tree:
        return np.concatenate([columns["jet_pt"] for columns, _, _ in read_batches(tree, path, ["jet_pt", "pf_pt"], step)])


@pytest.fixture(params=["TTree", "RNTuple"])
def big(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file of several MB in many baskets or clusters, so that a connection can break between two batches."""
    path = tmp_path / "big.root"
    columns = {name: ak.Array(column) for name, column in jets(3000, 1).items()}
    with uproot.recreate(path) as file:
        if request.param == "TTree":
            tree = file.mktree("Jets", {name: column.type for name, column in columns.items()})
        else:
            pf = columns.pop("pf")
            columns |= {f"pf_{field}": pf[field] for field in pf.fields}
            tree = file.mkrntuple("Jets", {name: column.type.content for name, column in columns.items()})
        for part in range(20):
            tree.extend(columns | {"jet_pt": columns["jet_pt"] + part})
    return str(path)


def test_a_file_is_the_same_over_xrootd(xrootd: tuple[int, Path], big: str) -> None:
    port, data = xrootd
    shutil.copy(big, data / "same.root")
    np.testing.assert_array_equal(jet_pts(f"root://127.0.0.1:{port}//same.root"), jet_pts(big))


def test_a_broken_connection_neither_loses_nor_repeats_entries(xrootd: tuple[int, Path], big: str) -> None:
    port, data = xrootd
    shutil.copy(big, data / "broken.root")
    proxy = Breaking(port, after=Path(big).stat().st_size // 8)
    np.testing.assert_array_equal(jet_pts(f"root://127.0.0.1:{proxy.port}//broken.root"), jet_pts(big))
    assert proxy.cuts == 1


def test_a_server_that_stays_away_is_an_error_after_some_tries(
    xrootd: tuple[int, Path], big: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, data = xrootd
    shutil.copy(big, data / "gone.root")
    monkeypatch.setattr(ntuples, "_TRIES", 2)
    monkeypatch.setenv("XRD_CONNECTIONWINDOW", "2")
    proxy = Breaking(port, after=Path(big).stat().st_size // 8, for_good=True)
    with pytest.raises(NetworkError, match=r"root://127.*the network failed: .*tried 2 times"):
        jet_pts(f"root://127.0.0.1:{proxy.port}//gone.root")


def test_a_missing_file_is_no_network_error(xrootd: tuple[int, Path]) -> None:
    begin = time.monotonic()
    with pytest.raises(FileError, match=r"//lost.root: cannot be read: .*no such file"):
        jet_pts(f"root://127.0.0.1:{xrootd[0]}//lost.root")
    assert time.monotonic() - begin < 4


def test_a_failed_network_is_not_skipped_like_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ntuples, "_TRIES", 2)
    url = f"http://127.0.0.1:{free_port()}/nobody.root"
    recipe = Recipe.from_config(load(raw_config({"background": url, "signal": url})), "signal")
    with pytest.raises(NetworkError, match=r"nobody.root: the network failed: .*tried 2 times"):
        skim(recipe, [url], friends={}, skip_broken=True, shard=tmp_path / "shard.arrow", receipt=tmp_path / "receipt.json")
    assert not list(tmp_path.iterdir())


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A file server with byte ranges, like those of the experiments."""

    def do_GET(self) -> None:
        path, requested = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not requested or not path.is_file():
            super().do_GET()
            return
        first, last = (int(x) for x in requested.removeprefix("bytes=").split("-"))
        data = path.read_bytes()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}")
        self.send_header("Content-Length", str(len(data[first : last + 1])))
        self.end_headers()
        answer = data[first : last + 1]
        self.server.served += 1  # type: ignore[attr-defined]
        breaks = self.server.served == self.server.break_at  # type: ignore[attr-defined]
        self.wfile.write(answer[: len(answer) // 2] if breaks else answer)
        self.close_connection = breaks

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def http_server(folder: Path, certificate: Path | None = None, break_at: int = 0) -> Iterator[int]:
    """Serve a folder's files; gives the port. The answer number `break_at` ends in the middle."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, directory=str(folder)))
    server.served, server.break_at = 0, break_at  # type: ignore[attr-defined]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def test_a_file_is_the_same_over_http(big: str) -> None:
    with http_server(Path(big).parent) as port:
        np.testing.assert_array_equal(jet_pts(f"http://127.0.0.1:{port}/big.root"), jet_pts(big))
        with pytest.raises(FileError, match=r"lost.root: cannot be read"):
            jet_pts(f"http://127.0.0.1:{port}/lost.root")


def test_a_file_is_the_same_over_https(big: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a known certificate; an unknown one is refused."""
    certificate = tmp_path / "server.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = [*make.split(), "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    certificate.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    with http_server(Path(big).parent, certificate) as port:
        url = f"https://localhost:{port}/big.root"
        script = f"import sys; sys.path[:0] = {sys.path!r}; from test_remote import jet_pts; print(jet_pts({url!r}).sum())"
        known = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "cert.pem")}
        done = subprocess.run([sys.executable, "-c", script], env=known, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(jet_pts(big).sum())
        monkeypatch.setattr(ntuples, "_TRIES", 1)
        with pytest.raises(NetworkError, match=r"(?i)certificate"):
            jet_pts(url)


@pytest.mark.parametrize("break_at", [8, 30])
def test_after_a_broken_answer_reading_continues_from_the_last_batch(
    break_at: int, big: str, caplog: pytest.LogCaptureFixture
) -> None:
    """XRootD's client, and aiohttp between two answers, recover by themselves; a broken answer is ours to handle."""
    with http_server(Path(big).parent, break_at=break_at) as port:
        np.testing.assert_array_equal(jet_pts(f"http://127.0.0.1:{port}/big.root"), jet_pts(big))
    assert "the network failed: " in caplog.text and "try 2 of 4" in caplog.text


def test_a_run_takes_local_and_remote_files_alike(xrootd: tuple[int, Path], tmp_path: Path, toy_files: dict[str, str]) -> None:
    port, data = xrootd
    workflow = Workflow(tmp_path / "project")
    shutil.copy(toy_files["signal"], data / "signal.root")
    shas = {}
    for run, signal in {"local": toy_files["signal"], "remote": f"root://127.0.0.1:{port}//signal.root"}.items():
        raw = raw_config({"background": toy_files["background"], "signal": signal}, run=run)
        workflow.run(raw, f"results/{run}/dataset.json")
        dataset = json.loads((workflow.folder / f"results/{run}/dataset.json").read_text())
        shas[run] = list(dataset["shards"].values())
    assert shas["local"] == shas["remote"]
    assert [file["xxh3"] for file in dataset["files"] if "://" in file["path"]] == [None]
