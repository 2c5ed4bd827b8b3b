"""Which processors run a compiled model."""

import subprocess
from pathlib import Path

import pytest

from cyclotrain.runtimes.instruction_sets import LEVELS, Level, missing, require_level

NEHALEM = "fpu sse sse2 pni ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm"
HASWELL = f"{NEHALEM} fma movbe xsave avx f16c abm bmi1 avx2 bmi2"


def cpuinfo(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(
        f"processor\t: 0\nmodel name\t: one\nflags\t\t: {flags}\nbugs\t\t: none\n\nprocessor\t: 1\nflags\t\t: {flags}\n"
    )
    return path


@pytest.mark.parametrize(
    ("flags", "level", "lacking"),
    [
        (HASWELL, "x86-64-v3", []),
        (HASWELL, "x86-64-v2", []),
        (NEHALEM, "x86-64-v2", []),
        (NEHALEM, "x86-64-v3", ["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"]),
        (HASWELL.replace(" fma", ""), "x86-64-v3", ["fma"]),
        (HASWELL.replace(" ssse3", ""), "x86-64-v3", ["ssse3"]),  # a level has the instructions of those below
    ],
)
def test_the_missing_instructions_are_named(flags: str, level: Level, lacking: list[str], tmp_path: Path) -> None:
    path = cpuinfo(tmp_path, flags)
    assert missing(level, path) == lacking
    if not lacking:
        require_level(level, path)
        return
    with pytest.raises(RuntimeError, match=f"compiled for {level}, and the processor of this machine lacks {', '.join(lacking)}"):
        require_level(level, path)


def test_a_processor_of_another_kind_lacks_all(tmp_path: Path) -> None:
    assert "sse4_2" in missing("x86-64-v2", tmp_path / "none")


def test_the_levels_of_this_machine_are_those_that_its_c_library_finds() -> None:
    loader = Path("/lib64/ld-linux-x86-64.so.2")
    if not loader.exists():
        pytest.skip("the C library is not glibc for x86-64")
    text = subprocess.run([loader, "--help"], capture_output=True, text=True, check=False).stdout
    if "glibc-hwcaps" not in text:
        pytest.skip("glibc before 2.33 does not list the levels")
    supported = [level for level in LEVELS if f"{level} (supported" in text]
    assert [level for level in LEVELS if not missing(level)] == supported
