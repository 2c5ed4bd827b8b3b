"""What each deployment target runs: its ONNX Runtime, with the newest ONNX files that this loads, and its LibTorch.

`python -m cyclotrain targets` shows the table. The newest IR version and opset of each ONNX Runtime were measured with the wheel
of that version. The CMSSW release of a change of 2026 is the development release of that time.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """An ONNX Runtime release: the newest IR version and opset that it loads, and the Python and NumPy that its wheel needs."""

    version: str
    ir_version: int
    opset: int
    python: str
    numpy: str


_1_10 = Runtime("1.10.0", 8, 15, ">=3.7,<3.10", "<2")
_1_14 = Runtime("1.14.1", 8, 18, ">=3.8,<3.11", "<2")
_1_16 = Runtime("1.16.3", 9, 19, ">=3.8,<3.12", "<2")
_1_17 = Runtime("1.17.1", 9, 20, ">=3.8,<3.13", "<2")
_1_20 = Runtime("1.20.1", 10, 21, ">=3.10,<3.14", ">=1")
_1_24 = Runtime("1.24.4", 13, 25, ">=3.11,<3.15", ">=1.21.6")
_1_25 = Runtime("1.25.1", 13, 26, ">=3.11,<3.15", ">=1.21.6")
_1_26 = Runtime("1.26.0", 13, 26, ">=3.11,<3.15", ">=1.21.6")
RUNTIMES = {runtime.version: runtime for runtime in (_1_10, _1_14, _1_16, _1_17, _1_20, _1_24, _1_25, _1_26)}


@dataclass(frozen=True)
class Release:
    """The first release of a family with these versions; `source`: pull requests of the family's own repository, or its files.

    A release between two entries has the versions of the earlier entry, or newer ones.
    """

    target: str
    runtime: Runtime
    libtorch: str | None
    source: str


_CMSDIST, _SERVER = "cms-sw/cmsdist", "triton-inference-server/server"
RELEASES = (
    Release("CMSSW_12_4_X", _1_10, None, f"{_CMSDIST}#7695"),
    Release("CMSSW_13_1_X", _1_14, None, f"{_CMSDIST}#8397"),
    Release("CMSSW_14_0_X", _1_14, "2.1.1", f"{_CMSDIST}, pytorch.spec"),
    Release("CMSSW_14_1_X", _1_17, "2.4.0", f"{_CMSDIST}#9046, pytorch.spec"),
    Release("CMSSW_15_0_X", _1_20, "2.4.0", f"{_CMSDIST}#9625"),
    Release("CMSSW_15_1_X", _1_20, "2.6.0", f"{_CMSDIST}, pytorch.spec"),
    Release("CMSSW_20_0_X", _1_25, "2.10.0", f"{_CMSDIST}#10516, #10374"),
    Release("CMSSW_20_1_X", _1_26, "2.12.1", f"{_CMSDIST}#10615, #10659"),
    Release("triton_22.04", _1_10, None, f"{_SERVER}, build.py"),
    Release("triton_23.12", _1_16, None, f"{_SERVER}, build.py"),
    Release("triton_25.03", _1_20, None, f"{_SERVER}, build.py"),
    Release("triton_26.05", _1_24, None, f"{_SERVER}#8848"),
)
# LibTorch releases were measured with files of PyTorch 2.13: every release above, 2.1.1 too, runs its TorchScript
AOT_INDUCTOR_SINCE = "2.10"  # the oldest that loads what it compiles

PATTERN = r"(CMSSW)_(\d+)_(\d+)(?:_.*)?|(triton)_(\d+)\.(\d+)"
_KNOWN = "CMSSW releases from CMSSW_12_4_X on, such as CMSSW_15_0_X, and Triton containers from triton_22.04 on"

OLDEST_EXPORTED = 18  # the oldest opset that PyTorch's exporter writes; older ones come from a conversion
_SAFE_OPSET = 20  # above it, PyTorch writes a fused Attention, which fails at run time with a broadcast boolean mask


def release_of(target: str) -> Release:
    """The entry of a target such as `CMSSW_15_0_X` or `triton_25.03`; raises ValueError for an unknown target."""
    family, version = _parsed(target)
    releases = [release for release in RELEASES if _parsed(release.target)[0] == family]
    older = [release for release in releases if _parsed(release.target)[1] <= version]
    if not older:
        oldest = releases[0].runtime
        raise ValueError(
            f"target '{target}' has an ONNX Runtime before {oldest.version}, and exports to an opset below {oldest.opset} are "
            f"not supported; targets are {_KNOWN}"
        )
    return older[-1]


def runtime_of(target: str) -> Runtime:
    """The ONNX Runtime of a target; raises ValueError for an unknown target."""
    return release_of(target).runtime


def libtorch_versions(targets: Sequence[str]) -> list[str]:
    """The LibTorch releases of targets that have one, oldest first; raises ValueError for an unknown target."""
    return sorted({version for target in targets if (version := release_of(target).libtorch)}, key=_numbers)


def runs_aot_inductor(libtorch: str) -> bool:
    """Whether a LibTorch release loads packages of AOTInductor that this environment's PyTorch compiles."""
    return _numbers(libtorch) >= _numbers(AOT_INDUCTOR_SINCE)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _parsed(target: str) -> tuple[str, tuple[int, int]]:
    """Family and release of a target, such as CMSSW and (15, 0)."""
    if not (match := re.fullmatch(PATTERN, target)):
        raise ValueError(f"unknown target '{target}'; targets are {_KNOWN}")
    family, major, minor = (group for group in match.groups() if group)
    return family, (int(major), int(minor))


def settings_for(targets: Sequence[str]) -> tuple[int, int]:
    """The newest (IR version, opset) that every target loads; one file fits all, since a runtime also loads older files."""
    runtimes = [runtime_of(target) for target in targets]
    return min(r.ir_version for r in runtimes), min(_SAFE_OPSET, *(r.opset for r in runtimes))


COLUMNS = ("first release", "ONNX Runtime", "IR / opset of the file", "LibTorch", "source")


def table() -> Iterator[tuple[str, ...]]:
    """A row for each entry, as `COLUMNS` names its parts."""
    for release in RELEASES:
        ir_version, opset = settings_for([release.target])
        yield release.target, release.runtime.version, f"{ir_version} / {opset}", release.libtorch or "", release.source


def lines() -> Iterator[str]:
    """The table as text, below its header."""
    rows = [COLUMNS, *table()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield from ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
