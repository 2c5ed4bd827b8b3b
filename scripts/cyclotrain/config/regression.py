"""`regression:`: quantities that the model estimates."""

import difflib
from itertools import pairwise
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from cyclotrain.config.base import ExpressionText, Name, Section
from cyclotrain.contract import quantity_columns

Loss = Literal["mse", "huber", "log_cosh", "quantile"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
_MOST_QUANTILES = 99


class QuantityConfig(Section):
    """A quantity that the model estimates: an output of this name."""

    target: ExpressionText = Field(
        description="The true value: an expression over branches and `define`, with one number per example, such as "
        "`gen_pt / jet_pt`."
    )
    loss: Loss = Field(
        "huber",
        description="`mse`: the estimate is the mean; `huber` and `log_cosh`: the same, but outliers count less; `quantile`: "
        "the estimates are `quantiles`. All act on the target in units of its standard deviation.",
    )
    quantiles: list[float] = Field(
        [], description="With `loss: quantile`: numbers between 0 and 1 in rising order, such as `[0.16, 0.5, 0.84]`."
    )
    weight: float = Field(
        1.0, gt=0, description="Factor on this loss in the sum of all losses, in which that of the classes has the factor 1."
    )
    classes: list[Name] = Field(
        [], description="The quantity exists for examples of these classes only; others do not count in its loss. Default: all."
    )
    samples: list[Name] = Field([], description="The same for samples: others need not have the branches. Default: all.")
    response: Literal["difference", "ratio"] = Field(
        "difference",
        description="What bias and resolution are measured in: `difference`, estimate - target, or `ratio`, estimate / target.",
    )
    against: list[ExpressionText] = Field(
        [],
        description="Bias and resolution are also measured in ten bins of each of these expressions, such as `gen_pt`, with one "
        "number per example.",
    )

    @field_validator("loss", mode="before")
    @classmethod
    def _known(cls, loss: Any) -> Any:
        if loss not in LOSSES:
            near = difflib.get_close_matches(str(loss), LOSSES, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"'{loss}' is not one of {', '.join(LOSSES)}{hint}")
        return loss

    @field_validator("quantiles")
    @classmethod
    def _make_sense(cls, quantiles: list[float]) -> list[float]:
        if outside := [q for q in quantiles if not 0 < q < 1]:
            raise ValueError(f"{outside[0]:g} is not between 0 and 1")
        if any(low >= high for low, high in pairwise(quantiles)):
            raise ValueError(f"give each quantile once, in rising order (given: {quantiles})")
        if len(quantiles) > _MOST_QUANTILES:
            raise ValueError(f"these are {len(quantiles)}; give {_MOST_QUANTILES} at most")
        columns = quantity_columns("", tuple(quantiles))
        if len(set(columns)) < len(columns):
            raise ValueError("two quantiles are the same to six digits, so their columns would have one name")
        return quantiles

    @model_validator(mode="after")
    def _consistent(self) -> "QuantityConfig":
        if (self.loss == "quantile") != bool(self.quantiles):
            raise ValueError("'loss: quantile' and 'quantiles' go together; give both, or neither")
        for name, names in (("classes", self.classes), ("samples", self.samples), ("against", self.against)):
            if len(set(names)) < len(names):
                raise ValueError(f"{name}: an entry is listed twice")
        if self.against and not self.has_estimate:
            raise ValueError("'against' is of the median; add 0.5 to 'quantiles', or remove 'against'")
        return self

    @property
    def has_estimate(self) -> bool:
        """Whether one number estimates the quantity, the median for quantiles, so that it has a bias and a resolution."""
        return not self.quantiles or 0.5 in self.quantiles

    def is_defined(self, *, sample: str, label: str, classes: list[str]) -> bool:
        """Whether examples of a sample can have the quantity; `label`: the sample's, a class or an expression for it."""
        in_classes = not self.classes or label not in classes or label in self.classes
        return in_classes and (not self.samples or sample in self.samples)
