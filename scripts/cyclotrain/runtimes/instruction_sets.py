"""Which x86-64 processors run a compiled model: the levels of the psABI, and that of this machine."""

from pathlib import Path
from typing import Literal, get_args

Level = Literal["x86-64-v2", "x86-64-v3"]
LEVELS: tuple[Level, ...] = get_args(Level)

# as Linux names them; source: table 3.1 of the x86-64 psABI. `pni` is SSE3, `abm` has LZCNT
_FLAGS: dict[Level, frozenset[str]] = {
    "x86-64-v2": frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    "x86-64-v3": frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
}


def level_of(form: str) -> Level:
    """The level of a form of the model that is compiled for it, whose name ends as that of the level."""
    return next(level for level in LEVELS if level.endswith(form.rpartition("_")[2]))


def missing(level: str, cpuinfo: str | Path = "/proc/cpuinfo") -> list[str]:
    """The instructions of a Level that this machine's processor lacks, as Linux names them."""
    levels: tuple[str, ...] = LEVELS
    lines = Path(cpuinfo).read_text().splitlines() if Path(cpuinfo).exists() else []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    needed = frozenset[str]().union(*(_FLAGS[one] for one in LEVELS[: levels.index(level) + 1]))
    return sorted(needed - set(flags))


def require_level(level: str, cpuinfo: str | Path = "/proc/cpuinfo") -> None:
    """Raise RuntimeError if this machine cannot run what was compiled for a level; it would die of an illegal instruction."""
    if lacking := missing(level, cpuinfo):
        raise RuntimeError(f"it is compiled for {level}, and the processor of this machine lacks {', '.join(lacking)}")
