"""A real HTCondor pool and a real Slurm on 127.0.0.1, for the tests: as root on Debian, with two cores."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
_DEBIAN_TOOLS = ["bash", "coreutils", "dash", "sed", "grep", "gzip", "tar", "findutils", "diffutils", "debianutils", "mawk"]
HTCONDOR_PACKAGES = ["minihtcondor", "git", "util-linux", "hostname", "libc-bin", "procps", *_DEBIAN_TOOLS]
SLURM_PACKAGES = ["slurm-wlm", "munge"]


def missing() -> str | None:
    """What this machine lacks to run a cluster, or None."""
    if os.geteuid() != 0:
        return "not root"
    if not (shutil.which("apt-get") and Path("/etc/apt/sources.list.d/debian.sources").exists()):
        return "no Debian, from whose packages the servers come"
    return None


def run(*command: str | Path, **options: object) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s: {what}")
        time.sleep(0.2)


def unpack_debian(folder: Path, packages: list[str], suite: str = "trixie") -> None:
    """Unpack packages of a Debian release, with all that they depend on; nothing of this machine changes."""
    apt = folder.with_name(f"{folder.name}.apt")
    for name in ("state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    sources = Path("/etc/apt/sources.list.d/debian.sources").read_text()
    mirror = re.findall(r"^URIs: *(\S+)", sources, re.MULTILINE)[0]
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "-", "Dir::State": apt / "state",
        "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache", "APT::Sandbox::User": "root",
        "Acquire::Languages": "none", "APT::Keep-Downloaded-Packages": "true",
    }  # fmt: skip
    given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    run("apt-get", *given, "-qq", "update")
    run("apt-get", *given, "-qq", "-y", "--download-only", "--no-install-recommends", "install", *packages)
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "tmp", "proc", "dev", "etc", "root", "var/lib", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):  # merged /usr, as base-files would make it
        (folder / link).symlink_to(f"usr/{link}")
    for deb in sorted((apt / "cache/archives").glob("*.deb")):
        unpack = f"dpkg-deb --fsys-tarfile '{deb}' | tar -x -C '{folder}' --keep-directory-symlink --no-same-owner"
        run("bash", "-o", "pipefail", "-c", unpack)
    shutil.rmtree(apt)


def htcondor_root(folder: Path) -> Path:
    """HTCondor's own root directory, unpacked once (15 s, 280 MB)."""
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        unpack_debian(folder, HTCONDOR_PACKAGES)
        (folder / "usr/bin/which").symlink_to("which.debianutils")
        awk = folder / "usr/bin/awk"
        awk.unlink(missing_ok=True)
        awk.symlink_to("mawk")
        root = next(line for line in Path("/etc/passwd").read_text().splitlines() if line.startswith("root:"))
        (folder / "etc/passwd").write_text(f"{root}\nnobody:x:65534:65534::/:/bin/false\npool:x:1500:1500::/root:/bin/bash\n")
        (folder / "etc/group").write_text("root:x:0:\npool:x:1500:\n")
        shutil.copy("/etc/hosts", folder / "etc/hosts")
        (folder / "complete").touch()
    return folder


class HTCondorPool:
    """One partitionable slot; private mount, process and user namespaces, so that killing one process ends every daemon."""

    def __init__(self, root: Path, folder: Path, shared: list[Path]) -> None:
        self.folder, self.config = folder, folder / "condor_config"
        for name in ("log", "run", "lock", "spool", "execute", "cred"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.config.write_text((HERE / "condor_config").read_text().replace("@POOL@", str(folder)))
        start = """
            mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
            root=$1; config=$2; shift 2
            for d in "$@"; do mkdir -p "$root$d"; mount --bind "$d" "$root$d"; done
            exec unshare --user --map-user=1500 --map-group=1500 --root="$root" --wd=/ env -i \\
                PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=pool LANG=C.UTF-8 CONDOR_CONFIG="$config" condor_master -f
        """
        private = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child=KILL"]
        command = [*private, "bash", "-ec", start, "pool", str(root), str(self.config)]
        # FS authentication is by a folder in /tmp
        command += [str(path) for path in dict.fromkeys([Path("/tmp"), folder, *shared])]
        with (folder / "log/start").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self.environment = {"CONDOR_CONFIG": str(self.config)}
        wait_until(self._is_up, 60, f"no slot and no schedd; see {folder}/log")

    def _is_up(self) -> bool:
        return self.ask("print(bool(c.query(h.AdTypes.Startd)) and bool(c.query(h.AdTypes.Schedd)))", check=False) == "True"

    def ask(self, code: str, check: bool = True) -> str:
        """What a line of Python says, with htcondor2 as `h`, its collector as `c` and its schedd as `s`."""
        head = "import htcondor2 as h; c = h.Collector(); s = lambda: h.Schedd()\n"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", head + code], capture_output=True, text=True, check=False,
            env={**os.environ, **self.environment},
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """One node with a stand-in GPU and no accounting; gives the clients' environment."""
    if not shutil.which("slurmctld"):
        run("apt-get", "-qq", "update")
        run("apt-get", "-qq", "-y", "install", *SLURM_PACKAGES)
    for name in ("state", "spool", "log", "munge"):
        (folder / name).mkdir(parents=True)
    (folder / "slurm.conf").write_text((HERE / "slurm.conf").read_text().replace("@SLURM@", str(folder)))
    (folder / "gres.conf").write_text("NodeName=localhost Name=gpu File=/dev/null\n")
    key = folder / "munge/munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    environment = {"SLURM_CONF": str(folder / "slurm.conf")}
    options = {"env": {**os.environ, **environment}}
    run(
        "munged", f"--socket={folder}/munge/munge.socket.2", f"--key-file={key}", f"--log-file={folder}/munge/munged.log",
        f"--pid-file={folder}/munge/munged.pid", f"--seed-file={folder}/munge/munged.seed",
    )  # fmt: skip
    try:
        subprocess.run(["slurmctld"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        # jobs lose SLURM_CONF: they find the file at /etc/slurm, in slurmd's private mounts alone
        Path("/etc/slurm").mkdir(exist_ok=True)
        start = f"mount --bind '{folder}' /etc/slurm; exec slurmd -N localhost"
        command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", start]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        wait_until(lambda: "idle" in run("sinfo", "-h", "-o", "%T", **options), 60, f"no idle node; see {folder}/log")
        yield environment
    finally:
        for pid in ("slurmd.pid", "slurmctld.pid", "munge/munged.pid"):
            if (folder / pid).exists():
                os.kill(int((folder / pid).read_text()), signal.SIGTERM)
