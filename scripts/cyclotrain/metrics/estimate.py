"""A measured number, and the replicas of a sample that give its uncertainty."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
_REPLICAS = 200


@dataclass(frozen=True)
class Estimate:
    """A number with its statistical uncertainty (one standard deviation); None if it cannot be measured."""

    value: float | None
    uncertainty: float | None


def poisson_replicas(weight: Weights, *, seed: int, is_usable: Callable[[Weights], bool]) -> Iterator[Weights]:
    """The weights [n] of 200 Poisson bootstrap replicas of a sample; one that is not usable is drawn again.

    With few examples a replica can be empty, and with negative weights its sum can be negative.
    """
    random = np.random.default_rng(seed)
    for _ in range(_REPLICAS):
        replica = weight * random.poisson(1.0, len(weight))
        while not is_usable(replica):
            replica = weight * random.poisson(1.0, len(weight))
        yield replica
