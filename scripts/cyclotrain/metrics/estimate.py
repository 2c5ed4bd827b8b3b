"""A measured number."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number with its statistical uncertainty (one standard deviation); None if it cannot be measured."""

    value: float | None
    uncertainty: float | None
