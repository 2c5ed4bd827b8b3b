"""`flatten:`: training weights that flatten a distribution."""

from itertools import pairwise

from pydantic import Field, model_validator

from cyclotrain.config.base import ExpressionText, Section


class FlattenConfig(Section):
    """Training weights from histograms of the training split."""

    variables: dict[ExpressionText, list[float]] = Field(
        min_length=1,
        max_length=2,
        description="One or two expressions with one value per example, each with its bin edges. Examples outside the edges have "
        "the training weight 0.",
    )
    to: str = Field(
        "flat",
        description="The distribution that all classes get: `flat`, or the name of a class for the distribution of that class.",
    )

    @model_validator(mode="after")
    def _edges(self) -> "FlattenConfig":
        for name, edges in self.variables.items():
            if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
                raise ValueError(f"the edges of '{name}' must be at least two numbers in rising order")
        return self
