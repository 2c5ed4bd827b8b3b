"""A real XRootD server, for the tests that read over the network."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
all.role server
xrd.port {port}
xrd.network nodnr
xrd.allow host 127.0.0.1
xrd.allow host localhost
all.export / r/o
oss.localroot {folder}/data
all.adminpath {folder}/admin
all.pidpath {folder}/admin
xrootd.async off
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def xrootd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Port and folder of a server, which Debian's package brings and which runs as the user that it makes."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("an XRootD server is started as root on Debian alone")
    if not shutil.which("xrootd"):
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "xrootd-server"]
        subprocess.run(["apt-get", "update", "--quiet"], check=True, capture_output=True)
        subprocess.run(install, check=True, capture_output=True)
    folder = Path("/tmp") / f"cyclotrain-xrootd-{os.getpid()}"  # pytest's folders are closed to other users
    for name in ("data", "admin", "log"):
        (folder / name).mkdir(parents=True)
    port = free_port()
    (folder / "xrootd.cfg").write_text(CONFIG.format(port=port, folder=folder))
    subprocess.run(["chown", "-R", "xrootd:xrootd", folder], check=True)
    command = ["xrootd", "-R", "xrootd", "-I", "v4", "-c", folder / "xrootd.cfg", "-l", folder / "log" / "xrootd.log"]
    with subprocess.Popen(command) as server:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port, folder / "data"
        server.terminate()
    shutil.rmtree(folder)
