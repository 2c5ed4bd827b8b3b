"""Results are written atomically, through the job's own disk if it has one; what runs share is locked."""

import select
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cyclotrain.core.files import atomic, atomic_folder, locked
from support import REPOSITORY

SCRATCH = {"htcondor": {"_CONDOR_SCRATCH_DIR": "{scratch}"}, "slurm": {"SLURM_JOB_ID": "1", "TMPDIR": "{scratch}"}}


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CONDOR_SCRATCH_DIR", "SLURM_JOB_ID", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=SCRATCH)
def scratch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's own disk, different from the disk of the results."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    for name, value in SCRATCH[request.param].items():
        monkeypatch.setenv(name, value.format(scratch=folder))
    request.addfinalizer(folder.rmdir)  # fails if a file was left behind
    return folder


def test_a_job_writes_to_its_own_disk_and_the_shared_one_gets_whole_files(scratch: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with atomic(results / "file") as temporary:
        temporary.write_text("whole")
        assert scratch in temporary.parents and not list(results.iterdir())
    with atomic_folder(results / "folder") as temporary:
        (temporary / "file").write_text("whole")
        assert scratch in temporary.parents
    assert sorted(str(path.relative_to(results)) for path in results.rglob("*")) == ["file", "folder", "folder/file"]
    assert (results / "file").read_text() == (results / "folder/file").read_text() == "whole"


def test_a_result_is_never_half_the_old_and_half_the_new(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "opened").hardlink_to(tmp_path / "file")  # like a reader that opened it before
    with atomic(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "file").read_text() == "new" and (tmp_path / "opened").read_text() == "old"


def test_a_failure_on_the_jobs_own_disk_leaves_nothing_on_either_disk(scratch: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    for function in (atomic, atomic_folder):
        with pytest.raises(RuntimeError), function(results / "name") as temporary:
            (temporary if function is atomic else temporary / "file").write_text("half")
            raise RuntimeError
    assert not list(results.iterdir())


def test_a_folder_replaces_another_as_a_whole(scratch: Path, tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["folder", "folder/new"]


# the last two: a job in a container, where the machine's disk is missing
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TMPDIR": "{scratch}"},
        {"SLURM_JOB_ID": "1", "TMPDIR": "/tmp"},
        {"SLURM_JOB_ID": "1", "TMPDIR": "{scratch}/not-there"},
        {"_CONDOR_SCRATCH_DIR": "{scratch}/not-there"},
    ],
)
def test_without_a_disk_of_the_job_files_are_written_beside_their_place(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, results = tmp_path / "scratch", tmp_path / "results"
    scratch.mkdir()
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(scratch=scratch))
    with atomic(results / "file") as temporary:
        temporary.write_text("whole")
        assert temporary.parent == results
    assert [path.name for path in results.iterdir()] == ["file"]


def test_a_disk_error_names_the_result_and_the_jobs_own_disk(scratch: Path, tmp_path: Path) -> None:
    message = rf"No space left.*; '.*/file' was not written \(through the job's own disk '{scratch}'\)"
    with pytest.raises(OSError, match=message), atomic(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")


def test_a_lock_keeps_another_process_out_and_is_free_after_a_kill(tmp_path: Path) -> None:
    shared = tmp_path / "new folder/shared"
    code = f"""
from cyclotrain.core.files import locked
with locked({str(shared)!r}):
    print("in", flush=True)
    input()
"""

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", code]
        return subprocess.Popen(command, cwd=REPOSITORY / "scripts", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with start() as first, start() as second:
        assert first.stdout and second.stdout
        inside, _, _ = select.select([first.stdout, second.stdout], [], [], 30)
        owner, other = (first, second) if first.stdout in inside else (second, first)
        assert owner.stdout and owner.stdout.readline() == "in\n"
        assert other.stdout and not select.select([other.stdout], [], [], 1)[0]  # it has tried by then
        owner.kill()
        assert other.stdout.readline() == "in\n"
        other.communicate("\n")
    with locked(shared):
        assert [path.name for path in shared.parent.iterdir()] == ["shared.lock"]
