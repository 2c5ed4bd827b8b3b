"""A real MLflow server with PostgreSQL, for the tests of many writers."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from xrootd_server import free_port

AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")  # PostgreSQL refuses to run as root


def postgresql() -> Path:
    """The folder of PostgreSQL's programs, which Debian's package brings and keeps off the PATH."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("a PostgreSQL server is started as root on Debian alone")
    if not (programs := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "postgresql"]
        subprocess.run(["apt-get", "update", "--quiet"], check=True, capture_output=True)
        subprocess.run(install, check=True, capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return programs[-1].parent


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[str]:
    """The address of a server."""
    programs = postgresql()
    folder = Path("/tmp") / f"cyclotrain-mlflow-{os.getpid()}"  # pytest's folders are closed to other users
    (folder / "postgresql").mkdir(parents=True)
    shutil.chown(folder / "postgresql", "nobody", "nogroup")
    database, port = free_port(), free_port()
    # on the disk of a test machine fsync is what takes the time
    options = ["-D", folder / "postgresql", "-p", str(database), "-c", "unix_socket_directories=", "-c", "fsync=off"]
    initialise = [programs / "initdb", "-D", folder / "postgresql", "-U", "mlflow", "--auth=trust", "--encoding=UTF8"]
    subprocess.run([*AS_NOBODY, *initialise], check=True, capture_output=True, cwd="/")
    store = f"postgresql://mlflow@127.0.0.1:{database}/postgres"
    serve = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "2", "--backend-store-uri", store]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([*AS_NOBODY, programs / "postgres", *options], stdout=log, stderr=log, cwd="/") as postgres,
    ):
        try:
            ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(database)]
            wait_until(lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0, "PostgreSQL", folder)
            serve += ["--artifacts-destination", str(folder / "artifacts")]
            with subprocess.Popen(serve, stdout=log, stderr=log, cwd=folder, start_new_session=True) as server:
                try:
                    wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), "MLflow", folder)
                    yield f"http://127.0.0.1:{port}"
                finally:
                    os.killpg(server.pid, 15)  # its workers too
        finally:
            postgres.send_signal(2)  # SIGINT: it ends without waiting for its clients
    shutil.rmtree(folder)


def answers(url: str) -> bool:
    """Whether a server answers."""
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until(is_up: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + 180
    while not is_up():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what}: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.2)
