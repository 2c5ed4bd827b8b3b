"""Numbers that `metrics` measured, as the results have them: None for what is not measured."""

from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from cyclotrain.contract.results import Figure
from cyclotrain.metrics.estimate import Estimate


def figure(measured: Estimate) -> Figure:
    """A number with its uncertainty."""
    return Figure(**asdict(measured))


def known(values: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
    """Numbers [n], None for NaN."""
    return tuple(value if np.isfinite(value) else None for value in values.tolist())
