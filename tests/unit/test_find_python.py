"""Which Python `make` takes, and what it says where there is none; `envs/find_python.sh` with a PATH of its own."""

import subprocess
from pathlib import Path

import pytest

from support import REPOSITORY


def find(folder: Path, **pythons: str) -> subprocess.CompletedProcess[str]:
    """Run the script where the named Pythons are: `new` enough, too `old`, or `bare`, without venv."""
    exits = {"new": "exit 0", "old": "exit 1", "bare": 'case "$2" in *ensurepip*) exit 1;; esac'}
    for name, kind in pythons.items():
        path = folder / name.replace("_", ".")
        path.write_text(f"#!/bin/sh\n{exits[kind]}\n")
        path.chmod(0o755)
    command = ["/bin/sh", str(REPOSITORY / "envs/find_python.sh")]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"python3_11": "new", "python3_13": "new", "python3": "old"}, "python3.13"),
        ({"python3_12": "new", "python3": "new"}, "python3.12"),
        ({"python3_13": "bare", "python3_11": "new"}, "python3.11"),
        ({"python3": "new"}, "python3"),
    ],
)
def test_the_newest_that_can_make_an_environment_is_taken(pythons: dict[str, str], taken: str, tmp_path: Path) -> None:
    assert find(tmp_path, **pythons).stdout == f"{tmp_path / taken}\n"


def test_where_venv_is_missing_or_there_is_no_python_it_says_what_to_install(tmp_path: Path) -> None:
    none = find(tmp_path, python3="old")
    assert none.returncode == 1 and "sudo apt install python3 python3-venv" in none.stderr and not none.stdout
    bare = find(tmp_path, python3_12="bare")
    assert bare.returncode == 1 and "python3.12 has no 'venv'" in bare.stderr and "apt install python3.12-venv" in bare.stderr
