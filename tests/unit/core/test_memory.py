"""Freed memory stays with the process."""

import os
import subprocess
import sys

import pytest

from support import REPOSITORY

# the page faults of the second of two blocks of 64 MB, of which the first was freed
_PROGRAM = """
import resource
from cyclotrain.core.memory import keep_freed_memory

{call}
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"1" * (64 * 1024**2)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults * resource.getpagesize())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is one of the GNU C library")
def test_freed_memory_gives_its_pages_to_the_next() -> None:
    def faulted(call: str) -> int:
        # in a process of its own, because the setting stays
        path = {**os.environ, "PYTHONPATH": str(REPOSITORY / "scripts")}
        program = [sys.executable, "-c", _PROGRAM.format(call=call)]
        return int(subprocess.run(program, env=path, capture_output=True, text=True, check=True).stdout)

    assert faulted("keep_freed_memory()") < 0.1 * 64 * 1024**2 < 0.5 * faulted("")
