"""Weighted shares, such as efficiencies, with statistical uncertainties, computed from sums of w and of w^2."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cyclotrain.metrics.estimate import Estimate

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shares:
    """Shares and their uncertainties, arrays of one shape; NaN where nothing is measured."""

    value: Array
    uncertainty: Array

    def estimate(self, *index: int) -> Estimate:
        """One of them; None for NaN."""
        return estimate(float(self.value[index]), float(self.uncertainty[index]))


def estimate(value: float, uncertainty: float) -> Estimate:
    """A number with its uncertainty; None for one that is not finite."""
    return Estimate(value if np.isfinite(value) else None, uncertainty if np.isfinite(uncertainty) else None)


def shares(passed: Array, passed_squares: Array, *, total: Array, total_squares: Array) -> Shares:
    """Which share passes, from the sums of w and of w^2 over the examples that pass and over all.

    The share is e = sum of w that pass / sum of w. The uncertainty is half of the width of Wilson's interval, which is not 0
    where none or all pass. It takes the variance sum of w^2 (pass - e)^2 / (sum of w)^2 in place of the binomial e (1 - e) / n,
    and the effective number of examples (sum of w)^2 / sum of w^2 in place of n. Negative weights count as they are, so that a
    share can be outside [0, 1]; it is NaN where the sum of weights is not positive.
    """
    is_measured = total > 0
    value, part = (np.divide(x, total, out=np.full(total.shape, np.nan), where=is_measured) for x in (passed, total_squares))
    part = np.divide(part, total, out=part, where=is_measured)  # 1 / effective number of examples
    variance = passed_squares * (1 - 2 * value) + total_squares * value**2
    variance = np.divide(np.maximum(variance, 0.0), total**2, out=np.full(total.shape, np.nan), where=is_measured)
    return Shares(value, np.sqrt(variance + part**2 / 4) / (1 + part))
