"""A real HTCondor pool and a real Slurm on 127.0.0.1 for the tests: as root on Debian, with two cores."""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
_DEBIAN_TOOLS = ["bash", "coreutils", "dash", "sed", "grep", "gzip", "tar", "findutils", "diffutils", "debianutils", "mawk"]
HTCONDOR_PACKAGES = ["minihtcondor", "git", "util-linux", "hostname", "libc-bin", "libfaketime", "procps", *_DEBIAN_TOOLS]
SLURM_PACKAGES = ["slurm-wlm", "munge"]
# and the system's libraries that this environment's Python and PyTorch need
_LIBRARIES = ["libbz2-1.0", "libffi8", "libreadline8t64", "libssl3t64", "libstdc++6"]
APPTAINER_PACKAGES = ["apptainer", "git", "procps", *_LIBRARIES, *_DEBIAN_TOOLS]

SCRATCH = "16G"  # the disk on which a worker's jobs run
HOST = "use ROLE: CentralManager\nuse ROLE: Submit\n"
WORKER = """
use ROLE: Execute
STARTD_NAME = worker
# jobs that bring their files go to the other worker
START = TARGET.ShouldTransferFiles =!= "YES"
# hold a job that takes more memory than it asked for; with cgroups HTCondor does so by itself
use POLICY: HOLD_IF_MEMORY_EXCEEDED
"""
GPUS = sorted(Path("/dev").glob("nvidia[0-9]*"))
# two stand-ins where there is no GPU, so that request_gpus matches
GPUS_OF_HTCONDOR = "use FEATURE: GPUs\n" if GPUS else "MACHINE_RESOURCE_GPUs = CUDA0, CUDA1\n"
GPUS_OF_SLURM = list(map(str, GPUS)) or ["/dev/null", "/dev/zero"]
APART = """
use ROLE: Execute
STARTD_NAME = apart
# it has only the files that jobs bring
FILESYSTEM_DOMAIN = apart
START = TARGET.ShouldTransferFiles =?= "YES"
"""


def missing() -> str | None:
    """What this machine lacks to run a cluster, or None."""
    if os.geteuid() != 0:
        return "not root"
    if not (shutil.which("apt-get") and Path("/etc/apt/sources.list.d/debian.sources").exists()):
        return "not Debian, whose packages the servers are from"
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


def unpack_debian(folder: Path, packages: list[str], suite: str) -> None:
    """Unpack packages of a Debian release and all that they depend on; nothing else on this machine changes."""
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
    settings = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    run("apt-get", *settings, "-qq", "update")
    run("apt-get", *settings, "-qq", "-y", "--download-only", "--no-install-recommends", "install", *packages)
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "tmp", "proc", "dev", "etc", "root", "var/lib", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):  # merged /usr, as base-files would make it
        (folder / link).symlink_to(f"usr/{link}")
    for deb in sorted((apt / "cache/archives").glob("*.deb")):
        unpack = f"dpkg-deb --fsys-tarfile '{deb}' | tar -x -C '{folder}' --keep-directory-symlink --no-same-owner"
        run("bash", "-o", "pipefail", "-c", unpack)
    shutil.rmtree(apt)


def _root(folder: Path, packages: list[str], suite: str) -> Path:
    """A root directory with Debian's packages, unpacked once."""
    complete, listed = folder / "complete", " ".join(packages)
    if not complete.exists() or complete.read_text() != listed:
        shutil.rmtree(folder, ignore_errors=True)
        unpack_debian(folder, packages, suite)
        (folder / "usr/bin/which").symlink_to("which.debianutils")
        awk = folder / "usr/bin/awk"
        awk.unlink(missing_ok=True)
        awk.symlink_to("mawk")
        root = next(line for line in Path("/etc/passwd").read_text().splitlines() if line.startswith("root:"))
        (folder / "etc/passwd").write_text(f"{root}\nnobody:x:65534:65534::/:/bin/false\npool:x:1500:1500::/root:/bin/bash\n")
        (folder / "etc/group").write_text("root:x:0:\npool:x:1500:\n")
        shutil.copy("/etc/hosts", folder / "etc/hosts")
        complete.write_text(listed)
    return folder


def htcondor_root(folder: Path) -> Path:
    """HTCondor's own root directory (15 s, 280 MB)."""
    return _root(folder, HTCONDOR_PACKAGES, "trixie")


def _copy_gpu_driver(root: Path) -> None:
    """Copy the libraries of NVIDIA's driver from where the loader finds them; they must fit this machine's kernel."""
    for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1"):
        ctypes.CDLL(name)
        loaded = (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines())
        library = next(path for path in loaded if Path(path).name.startswith(name.removesuffix("1")))
        for as_name in (name, name.removesuffix(".1")):  # condor_gpu_discovery asks for libcuda.so
            shutil.copy(library, root / "usr/lib/x86_64-linux-gnu" / as_name)


class Apptainer:
    """Runs commands where Apptainer is installed, which only Debian's unstable release has, with the `shared` folders."""

    def __init__(self, folder: Path, shared: list[Path]) -> None:
        self._root = _root(folder, APPTAINER_PACKAGES, "sid")
        self._shared = shared
        (self._root / "scratch").mkdir(exist_ok=True)
        for name in ("localtime", "resolv.conf"):  # it shows these to what it runs
            shutil.copy(f"/etc/{name}", self._root / "etc" / name)
        configuration = self._root / "etc/apptainer/apptainer.conf"
        # otherwise it asks for all of root's, which a test machine may not allow
        no_capabilities = re.sub(
            "^root default capabilities = .*", "root default capabilities = no", configuration.read_text(), flags=re.M
        )
        configuration.write_text(no_capabilities)

    def run(self, *command: str | Path, folder: Path) -> str:
        """The output of a command, run in a folder as in a batch job whose disk no image shows; RuntimeError if it fails."""
        start = """
            root=$1; folder=$2; shared=$3; shift 3
            mount --bind "$root" "$root"; cd "$root"
            mount -t proc proc proc; mkdir -p sys old; mount --rbind /dev dev; mount --rbind /sys sys
            for d in $shared; do mkdir -p "$root$d"; mount --bind "$d" "$root$d"; done
            pivot_root . old; cd "$folder"; exec "$@"
        """
        shared = " ".join(map(str, dict.fromkeys(self._shared)))
        private = ["unshare", "--mount", "--propagation", "private", "bash", "-ec", start, "apptainer"]
        environment = {**os.environ, "APPTAINER_TMPDIR": str(folder), "TMPDIR": "/tmp", "_CONDOR_SCRATCH_DIR": "/scratch"}
        return run(*private, self._root, folder, shared, *command, env=environment)


class Machine:
    """HTCondor's daemons in private mount, process and user namespaces: of this machine they see the `shared` folders, and
    killing one process switches them off.
    """

    def __init__(self, root: Path, folder: Path, settings: str, shared: list[Path]) -> None:
        self.root, self.folder, self.config, self.shared = root, folder, folder / "condor_config", shared
        for name in ("log", "run", "lock", "spool", "execute", "cred"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.config.write_text((HERE / "condor_config").read_text().replace("@FOLDER@", str(folder)) + settings)
        self.switch_on()

    def switch_on(self) -> None:
        start = """
            mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
            root=$1; config=$2; folder=$(dirname "$config"); shift 2
            for d in "$@"; do mkdir -p "$root$d"; mount --bind "$d" "$root$d"; done
            mount -t tmpfs -o "size=$SCRATCH" scratch "$root$folder/execute"
            exec unshare --user --map-user=1500 --map-group=1500 --root="$root" --wd=/ env -i \\
                PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=pool LANG=C.UTF-8 CONDOR_CONFIG="$config" condor_master -f
        """
        # it ends when the tests end, however they do
        private = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
        command = [*private, "--kill-child=KILL", "bash", "-ec", start, "machine", str(self.root), str(self.config)]
        command += [str(path) for path in dict.fromkeys(self.shared)]
        with (self.folder / "log/start").open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, "SCRATCH": SCRATCH},
            )  # fmt: skip

    def send(self, number: signal.Signals, command: str) -> None:
        """Send a signal to the processes whose command matches a pattern."""
        for pid in run("pgrep", "--ns", str(self._init()), "--nslist", "pid", "--full", command).split():
            os.kill(int(pid), number)

    def fill_scratch(self) -> None:
        """Leave no space on the disk where jobs run."""
        self._resize(shutil.disk_usage(self.view(self.folder / "execute")).used)

    def free_scratch(self) -> None:
        self._resize(SCRATCH)

    def _resize(self, size: int | str) -> None:
        scratch = f"{self.root}{self.folder}/execute"
        run("nsenter", "--target", str(self._init()), "--mount", "mount", "-o", f"remount,size={size}", scratch)

    def view(self, path: Path) -> Path:
        """Where this machine's jobs see a path."""
        return Path(f"/proc/{self._init()}/root{path}")

    def _init(self) -> int:
        return int(run("pgrep", "--parent", str(self.process.pid)).split()[0])

    def switch_off(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class HTCondorPool:
    """A submit host, a worker that shares its files, and a worker `apart` that shares nothing and takes jobs with file transfer.

    `disk` is a small shared disk for tests to fill.
    """

    def __init__(self, root: Path, folder: Path, software: list[Path], submitting: list[Path]) -> None:
        if GPUS:
            _copy_gpu_driver(root)
        self.disk = folder / "disk"
        self.disk.mkdir()
        run("mount", "-t", "tmpfs", "-o", "size=1G", "disk", self.disk)
        authentication = folder / "authentication"
        authentication.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            common = f"COLLECTOR_HOST = 127.0.0.1:{free.getsockname()[1]}\nFS_LOCAL_DIR = {authentication}\n"
        host, worker, apart = (folder / name for name in ("host", "worker", "apart"))
        seen = [authentication, *software, *submitting, self.disk]  # a mount point after the mount below it
        self.host = Machine(root, host, common + HOST, [host, *seen])
        self.worker = Machine(root, worker, common + WORKER + GPUS_OF_HTCONDOR, [worker, *seen])
        self.apart = Machine(root, apart, common + APART, [apart, authentication, *software])
        self.environment = {"CONDOR_CONFIG": str(self.host.config)}
        self.apart_environment = {**self.environment, "CYCLOTRAIN_PYTHON": sys.executable}
        wait_until(self.is_up, 60, f"no schedd or not both workers; see {folder}/*/log")

    def fill_disk(self) -> None:
        """Leave no space on the small shared disk."""
        run("mount", "-o", f"remount,size={shutil.disk_usage(self.disk).used}", self.disk)

    def free_disk(self) -> None:
        run("mount", "-o", "remount,size=1G", self.disk)

    def is_up(self) -> bool:
        code = "print(len(c.query(h.AdTypes.Startd)) >= 2 and bool(c.query(h.AdTypes.Schedd)))"
        return self.ask(code, check=False) == "True"

    def ask(self, code: str, check: bool = True) -> str:
        """The output of a line of Python, with htcondor2 as `h`, its collector as `c` and its schedd as `s()`."""
        head = "import htcondor2 as h; c = h.Collector(); s = lambda: h.Schedd()\n"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", head + code], capture_output=True, text=True, check=False,
            env={**os.environ, **self.environment},
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def stop(self) -> None:
        for machine in (self.apart, self.worker, self.host):
            machine.switch_off()
        run("umount", "--lazy", self.disk)


class Slurm:
    """One node with this machine's GPUs or two stand-ins, without accounting."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("slurmctld"):
            run("apt-get", "-qq", "update")
            run("apt-get", "-qq", "-y", "install", *SLURM_PACKAGES)
        self.folder = folder
        for name in ("state", "spool", "log", "munge"):
            (folder / name).mkdir(parents=True)
        configuration = (HERE / "slurm.conf").read_text().replace("@SLURM@", str(folder))
        (folder / "slurm.conf").write_text(configuration.replace("@GPUS@", str(len(GPUS_OF_SLURM))))
        (folder / "gres.conf").write_text(f"NodeName=localhost Name=gpu File={','.join(GPUS_OF_SLURM)}\n")
        # with cgroups of version 2 it would look for systemd, and then not use them
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        key = folder / "munge/munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        run(
            "munged", f"--socket={folder}/munge/munge.socket.2", f"--key-file={key}", f"--log-file={folder}/munge/munged.log",
            f"--pid-file={folder}/munge/munged.pid", f"--seed-file={folder}/munge/munged.seed",
        )  # fmt: skip
        try:
            self._start("slurmctld")
            self.start_node()
            wait_until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), 60, f"no idle node; see {folder}/log")
        except BaseException:
            self.stop()
            raise

    def ask(self, *command: str) -> str:
        return run(*command, env={**os.environ, **self.environment})

    def start_node(self) -> None:
        # jobs lose SLURM_CONF, and find the file at /etc/slurm, which only slurmd's private mounts have
        Path("/etc/slurm").mkdir(exist_ok=True)
        start = f"mount --bind '{self.folder}' /etc/slurm; exec slurmd -N localhost"
        self._start("unshare", "--mount", "--propagation", "private", "bash", "-c", start)

    def _start(self, *command: str) -> None:
        # a daemon would keep the streams open that it inherits
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, env={**os.environ, **self.environment}, **quiet)

    def signal_node(self, number: signal.Signals, only: str = "") -> None:
        """Send a signal to the node's daemon and all its jobs, or to those of them with a word in their command."""
        daemon = int((self.folder / "slurmd.pid").read_text())
        namespace = Path(f"/proc/{daemon}/ns/mnt").readlink()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # a process that has ended has no namespace
                # its jobs are in its mounts
                if (process / "ns/mnt").readlink() == namespace and only in (process / "cmdline").read_text():
                    os.kill(int(process.name), number)

    def stop(self) -> None:
        for pid in ("slurmd.pid", "slurmctld.pid", "munge/munged.pid"):
            if (self.folder / pid).exists():
                os.kill(int((self.folder / pid).read_text()), signal.SIGTERM)
