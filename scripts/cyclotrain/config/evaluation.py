"""`baseline:` and `evaluation:`: the physics performance."""

from typing import Annotated

from pydantic import Field

from cyclotrain.config.base import ExpressionText, Section


class BaselineConfig(Section):
    """Gradient-boosted trees on features of the whole example, reported beside every model."""

    features: list[ExpressionText] = Field(
        [], description="Expressions over flat branches. Default: the features of the flat input sets."
    )


class EvaluationConfig(Section):
    """The physics performance on the test split."""

    signal: str | None = Field(None, description="The signal class; the others are backgrounds. Default: the last class.")
    signal_efficiencies: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.3, 0.5], min_length=1, description="Signal efficiencies at which the background rejection is measured."
    )
