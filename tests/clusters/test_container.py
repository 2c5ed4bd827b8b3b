"""Build the workers' image from envs/Containerfile, and train in it. make test-clusters

Its base image is made of Debian's packages, as a registry of images may be out of reach. Pip inside has this machine's
settings.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Apptainer, run
from sites import ONE_THREAD, Training, Undisturbed, more, needs_clusters, software

from cyclotrain.core.files import file_sha256, read_json
from support import REPOSITORY

pytest_plugins = ["sites"]
pytestmark = [*needs_clusters, more]
BASE = "docker.io/library/debian:bookworm-slim"


def buildah(*command: str | Path) -> str:
    return run("buildah", *command).strip()


def base_image(folder: Path) -> None:
    run("debootstrap", "--variant=minbase", "bookworm", folder / "root")
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, folder / "root", "/")
    buildah("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(folder / "root")


def pip_settings(folder: Path) -> list[str]:
    """Options that make buildah show pip this machine's settings, and the files and folders that they name."""
    settings = dict(
        re.findall(r"^(?:global|:env:)\.(\S+)='(.*)'$", run(sys.executable, "-m", "pip", "config", "list"), re.MULTILINE)
    )
    if certificates := settings.get("cert"):
        shutil.copy(certificates, folder / "certificates.crt")
        settings["cert"] = str(folder / "certificates.crt")
    (folder / "pip.conf").write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items()))
    values = " ".join(settings.values())
    indexes = {Path(path).parent for path in re.findall(r"file://(\S+)", values)}  # their files lie beside them
    paths = {Path(path) for path in re.findall(r"(?:^|\s)(/\S+)", values)}
    mounts = {path: path for path in indexes | paths} | {folder / "pip.conf": Path("/etc/pip.conf")}
    return [f"--volume={here}:{there}:ro" for here, there in mounts.items()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("image")
    if not (shutil.which("buildah") and shutil.which("debootstrap")):
        run("apt-get", "-qq", "update")
        run("apt-get", "-qq", "-y", "install", "--no-install-recommends", "buildah", "debootstrap")
    base_image(folder)
    tag = "cyclotrain-test"
    # chroot: it needs no control groups and no network of its own, which a test machine may not allow
    buildah("build", "--isolation=chroot", *pip_settings(folder), "--tag", tag, REPOSITORY / "envs")
    yield tag
    buildah("rmi", tag, BASE)


def same_weights(training: Training, expected: Training) -> bool:
    """The same weights; the model files differ, as each names its Python."""
    return file_sha256(training.results / "train/weights.pt") == file_sha256(expected.results / "train/weights.pt")


def test_a_training_in_the_image_gives_the_weights_of_one_outside(image: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    expected = undisturbed()
    training = Training(tmp_path)
    training.workflow.write_config(training.raw)
    container = buildah("from", image)
    where = ["--isolation=chroot", f"--volume={training.workflow.folder}:/project", "--workingdir=/project"]
    command = ["snakemake", training.target, "--cores", "2", "--configfile", "test.yaml", *ONE_THREAD]
    done = subprocess.run(["buildah", "run", *where, container, "--", *command], capture_output=True, text=True, check=False)
    buildah("rm", container)
    assert done.returncode == 0, done.stderr[-4000:]
    assert same_weights(training, expected)


def test_a_training_by_apptainer_gives_the_weights_of_one_outside(image: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    expected = undisturbed()
    training = Training(tmp_path)
    training.workflow.write_config(training.raw)
    project, archive = training.workflow.folder, tmp_path / "cyclotrain.tar"
    apptainer = Apptainer(Path("/var/tmp/cyclotrain-apptainer"), [*software(), tmp_path])
    buildah("push", "--quiet", image, f"docker-archive:{archive}")
    # as in docs/clusters.md, but not compressed, which would take minutes
    quick = ("--disable-cache", "--mksquashfs-args", "-noI -noD -noF")
    apptainer.run("apptainer", "build", *quick, "envs/cyclotrain.sif", f"docker-archive:{archive}", folder=project)
    command = ["snakemake", training.target, "--cores", "2", "--configfile", "test.yaml", *ONE_THREAD, "--sdm", "apptainer"]
    apptainer.run(sys.executable, "-m", *command, folder=project)
    assert same_weights(training, expected)
    python = ("python", "-c", "import platform; print(platform.python_version())")
    inside = apptainer.run("apptainer", "exec", "envs/cyclotrain.sif", *python, folder=project)
    receipt = read_json(training.results / "skims/signal/0000-of-1.json")
    assert receipt["software"]["python"] == inside.strip() != platform.python_version()
