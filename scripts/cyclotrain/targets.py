"""What each release that a model is deployed to can load.

The ONNX Runtime of a CMSSW release is the one in cms-sw/cmsdist; the newest IR version and opset that a runtime
loads were measured with the wheel of that version.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Runtime:
    """An ONNX Runtime release and the newest file that it loads."""

    version: str
    ir_version: int
    opset: int


# Above it, PyTorch writes a fused Attention that fails at run time with a broadcast boolean mask.
_SAFE_OPSET = 20

# the first CMSSW release (major, minor) with each runtime
_CMSSW = (
    ((13, 1), Runtime("1.14.1", 8, 18)),
    ((14, 1), Runtime("1.17.1", 9, 20)),
    ((15, 0), Runtime("1.20.1", 10, 21)),
)


def runtime_of(target: str) -> Runtime:
    """The runtime of a target such as `CMSSW_15_0_X`; raises ValueError for a target that is not known."""
    match = re.fullmatch(r"CMSSW_(\d+)_(\d+)(_.*)?", target)
    if not match:
        raise ValueError(f"unknown target '{target}'; targets are CMSSW releases such as CMSSW_15_0_X")
    release = int(match[1]), int(match[2])
    known = [runtime for first, runtime in _CMSSW if first <= release]
    if not known:
        raise ValueError(f"target '{target}' has an ONNX Runtime before 1.14, which opset 18 needs; the oldest is CMSSW_13_1_X")
    return known[-1]


def settings_for(targets: Sequence[str]) -> tuple[int, int]:
    """The newest (IR version, opset) that every target loads."""
    runtimes = [runtime_of(target) for target in targets]
    return min(r.ir_version for r in runtimes), min(_SAFE_OPSET, *(r.opset for r in runtimes))
