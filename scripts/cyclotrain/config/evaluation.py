"""`baseline:` and `evaluation:`: the physics performance."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field

from cyclotrain.config.base import ExpressionText, Section


class BaselineConfig(Section):
    """Gradient-boosted trees on features of the whole example, reported beside every model."""

    features: list[ExpressionText] = Field(
        [], description="Expressions over flat branches. Default: the features of the flat input sets."
    )


@dataclass(frozen=True)
class SmallestAllowed:
    """Makes a key a gate: the smallest value that a figure of evaluation.json may have. Without the key, there is no gate.

    `figure`: a name that `Evaluation.figures` gives, such as `auc.{background}`, which stands for those of all backgrounds;
    `{class_name}` stands for all classes.
    """

    figure: str


class FigureGate(NamedTuple):
    """The smallest allowed value of a figure, and the config key that sets it."""

    figure: str
    limit: float
    key: str


class EvaluationConfig(Section):
    """The physics performance on the test split."""

    signal: str | None = Field(None, description="The signal class; the others are backgrounds. Default: the last class.")
    signal_efficiencies: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.3, 0.5], min_length=1, description="Signal efficiencies at which the background rejection is measured."
    )
    minimum_auc: Annotated[float | None, SmallestAllowed("auc.{background}")] = Field(
        None,
        gt=0,
        lt=1,
        description="Gate: the run fails if the area under the ROC curve is smaller than this for any background.",
    )

    def gates(self) -> Iterator[FigureGate]:
        """The keys marked with SmallestAllowed that have a value."""
        for name, field in type(self).model_fields.items():
            for mark in field.metadata:
                if isinstance(mark, SmallestAllowed) and (limit := getattr(self, name)) is not None:
                    yield FigureGate(mark.figure, limit, f"evaluation.{name}")
