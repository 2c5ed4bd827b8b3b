"""`flatten:`: training weights that flatten a distribution."""

from itertools import pairwise

from pydantic import Field, model_validator

from cyclotrain.config.base import ExpressionText, Section


class FlattenConfig(Section):
    """Training weights by histograms of the training split."""

    variables: dict[ExpressionText, list[float]] = Field(
        min_length=1,
        max_length=2,
        description="One or two expressions that give one number an example, each with the edges of its bins. Examples outside "
        "get the training weight 0.",
    )
    to: str = Field("flat", description="The distribution that all classes get: `flat`, or the name of a class, for its own.")

    @model_validator(mode="after")
    def _edges(self) -> "FlattenConfig":
        for name, edges in self.variables.items():
            if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
                raise ValueError(f"the edges of '{name}' must be two numbers or more, and rise")
        return self
