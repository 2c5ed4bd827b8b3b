"""The ONNX files that each deployment target can load.

The ONNX Runtime version of a CMSSW release is from cms-sw/cmsdist, that of a Triton container from its server's build.py.
The newest IR version and opset of each runtime were measured with the wheel of that version.
"""

import re
from collections.abc import Sequence
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
RUNTIMES = {runtime.version: runtime for runtime in (_1_10, _1_14, _1_16, _1_17, _1_20)}

# the first release with each runtime; a release between two entries has the runtime of the earlier entry, or a newer one
_FAMILIES = {
    "CMSSW": {(12, 4): _1_10, (13, 1): _1_14, (14, 1): _1_17, (15, 0): _1_20},
    "triton": {(22, 4): _1_10, (23, 12): _1_16, (25, 3): _1_20},
}
_KNOWN = "CMSSW releases from CMSSW_12_4_X on, such as CMSSW_15_0_X, and Triton containers from triton_22.04 on"

OLDEST_EXPORTED = 18  # the oldest opset that PyTorch's exporter writes; older ones come from a conversion
_SAFE_OPSET = 20  # above it, PyTorch writes a fused Attention, which fails at run time with a broadcast boolean mask


def runtime_of(target: str) -> Runtime:
    """The runtime of a target such as `CMSSW_15_0_X` or `triton_25.03`; raises ValueError for an unknown target."""
    match = re.fullmatch(r"(CMSSW)_(\d+)_(\d+)(?:_.*)?|(triton)_(\d+)\.(\d+)", target)
    if not match:
        raise ValueError(f"unknown target '{target}'; targets are {_KNOWN}")
    family, *release = (group for group in match.groups() if group)
    runtimes = [runtime for since, runtime in _FAMILIES[family].items() if since <= (int(release[0]), int(release[1]))]
    if not runtimes:
        raise ValueError(
            f"target '{target}' has an ONNX Runtime before {_1_10.version}, and exports to an opset below {_1_10.opset} are not "
            f"supported; targets are {_KNOWN}"
        )
    return runtimes[-1]


def settings_for(targets: Sequence[str]) -> tuple[int, int]:
    """The newest (IR version, opset) that every target loads; one file fits all, since a runtime also loads older files."""
    runtimes = [runtime_of(target) for target in targets]
    return min(r.ir_version for r in runtimes), min(_SAFE_OPSET, *(r.opset for r in runtimes))
