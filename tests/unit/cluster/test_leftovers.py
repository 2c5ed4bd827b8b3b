"""Jobs that no Snakemake waits for are removed, and those of another run in the folder are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cyclotrain.cluster.leftovers import remove_leftovers
from support import REPOSITORY


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands, with a file in place of the queue."""
    jobs = tmp_path / "jobs"
    for name, script in {"squeue": f"cat {jobs}", "scancel": f'for job; do sed -i "/^$job|/d" {jobs}; done'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return jobs


def test_jobs_are_removed_only_while_no_other_run_is_in_the_folder(queue: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    elsewhere = "3|rule_train_x|/elsewhere\n"
    queue.write_text(f"1|rule_train_x|{folder}\n2||{folder}\n{elsewhere}")
    code = f"""
from pathlib import Path
from cyclotrain.cluster.leftovers import remove_leftovers
remove_leftovers("slurm", Path({str(folder)!r}))
print("runs", flush=True)
input()
"""
    command = [sys.executable, "-c", code]
    scripts = REPOSITORY / "scripts"
    with subprocess.Popen(command, cwd=scripts, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "runs\n"
        after_its_start = f"2||{folder}\n{elsewhere}"
        assert queue.read_text() == after_its_start
        queue.write_text(jobs := f"4|rule_skim_x|{folder}\n{after_its_start}")
        remove_leftovers("slurm", folder)
        remove_leftovers("slurm", folder)
        assert queue.read_text() == jobs
        other.kill()
    remove_leftovers("slurm", folder)
    assert queue.read_text() == after_its_start


def test_another_executor_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    remove_leftovers("local", tmp_path)
    assert not list(tmp_path.iterdir())
