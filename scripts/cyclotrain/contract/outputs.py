"""The outputs of the model: the probabilities of the classes, and a named output for each regressed quantity."""

from dataclasses import dataclass
from typing import Any

from cyclotrain.contract.layout import lists_to_tuples

OUTPUT = "probabilities"  # of the classes, if there are any


@dataclass(frozen=True)
class Quantity:
    """A regressed quantity, the output `name` of the model: [batch, 1], or a column for each of its `quantiles`.

    target: the expression for the true value; it is not given (NaN in a shard) outside `classes` and `samples`, if these are
    named. loss, weight, response: as in the config. against: the observers in whose bins bias and resolution are measured.
    offset, scale: mean and standard deviation of the target in the training split; the network gives (value - offset) / scale.
    """

    name: str
    target: str
    loss: str
    quantiles: tuple[float, ...]
    weight: float
    classes: tuple[str, ...]
    samples: tuple[str, ...]
    response: str
    against: tuple[str, ...]
    offset: float = 0.0
    scale: float = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each column of the output: that of the quantity or, for quantiles, `mass_q16`, `mass_q97p5`."""
        return quantity_columns(self.name, self.quantiles)

    @property
    def estimate(self) -> int | None:
        """The column that estimates the quantity: the only one or the median; None for quantiles without the median."""
        if not self.quantiles:
            return 0
        return self.quantiles.index(0.5) if 0.5 in self.quantiles else None

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Quantity":
        """From the result of `dataclasses.asdict`, read back from JSON."""
        values: dict[str, Any] = lists_to_tuples(fields)
        return cls(**values)


def quantity_columns(name: str, quantiles: tuple[float, ...]) -> tuple[str, ...]:
    """A name for each column of a quantity's output."""
    return tuple(f"{name}_q{100 * quantile:.6g}".replace(".", "p") for quantile in quantiles) or (name,)


@dataclass(frozen=True)
class Output:
    """An output of the graph, [batch, columns]: `columns` are the classes, or those of a quantity."""

    name: str
    columns: tuple[str, ...]
