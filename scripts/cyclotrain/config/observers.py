"""`observers:`: variables of an example that the model does not see."""

from pydantic import Field

from cyclotrain.config.base import ExpressionText, Section


class ObserverConfig(Section):
    """A variable in whose bins results are shown, such as the mass or the number of vertices."""

    expression: ExpressionText | None = Field(
        None, description="Expression over branches, one value per example. Default: the branch that has the name."
    )
    label: str | None = Field(None, description="Its name on plots, with the unit: `Jet mass [GeV]`. Default: the name.")
