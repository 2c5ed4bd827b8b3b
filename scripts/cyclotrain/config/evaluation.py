"""`baseline:`, `evaluation:` and `compare:`: the physics performance, and what it is compared with."""

import difflib
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from cyclotrain.config.base import ExpressionText, Name, Section
from cyclotrain.config.export import VARIANT_KINDS
from cyclotrain.contract.results import AOT_INDUCTOR, BOOSTED_TREES, FCCANALYSES, MODEL, NETWORK, TORCHSCRIPT

if TYPE_CHECKING:
    from cyclotrain.config import Config

Share = Annotated[float, Field(gt=0, lt=1)]
_TAKEN = (
    MODEL,
    NETWORK,
    FCCANALYSES,
    TORCHSCRIPT,
    *AOT_INDUCTOR,
    BOOSTED_TREES,
    "examples",
    "vs_rest",
)  # names of figures and files


class BaselineConfig(Section):
    """Gradient-boosted trees on features of the whole example, reported beside every model."""

    features: list[ExpressionText] = Field(
        [], description="Expressions over flat branches. Default: the features of the flat input sets."
    )


class WorkingPointsConfig(Section):
    """Thresholds of the score, for an analysis to copy."""

    mistag: dict[Name, Share] = Field(
        {"loose": 0.1, "medium": 0.01, "tight": 0.001},
        description="The share of a background that each working point keeps, by a name of yours.",
    )
    observer: str | None = Field(
        None, description="A name from `observers`: the thresholds are also given in bins of it, each with the same mistag rate."
    )


class EvaluationConfig(Section):
    """The physics performance on the test split."""

    signal: str | None = Field(None, description="The signal class; the others are backgrounds. Default: the last class.")
    signal_efficiencies: list[Share] = Field(
        [0.3, 0.5], min_length=1, description="Signal efficiencies at which the background rejection is measured."
    )
    bins: dict[str, list[float]] = Field(
        {},
        description="Edges of the bins of an observer, by its name, in rising order, such as `{jet_pt: [500, 600, 800]}`. "
        "Default: ten bins with about the same number of test examples in each.",
    )
    working_points: WorkingPointsConfig = Field(WorkingPointsConfig(), description="Thresholds of the score, for an analysis.")
    importance: bool = Field(
        False,
        description="Measure what each feature is worth to the model, by shuffling it and by integrated gradients "
        "(docs/inputs-and-data.md). The network runs 100,000 times; for the demo this takes 20 s.",
    )

    @field_validator("bins")
    @classmethod
    def _rise(cls, bins: dict[str, list[float]]) -> dict[str, list[float]]:
        for name, edges in bins.items():
            if len(edges) < 2 or any(not low < high for low, high in pairwise(edges)):
                raise ValueError(f"{name}: give at least two edges, in rising order (given: {edges})")
        return bins


def check(config: "Config") -> None:
    """Raise ValueError for an observer that is not declared, and for a name of `compare` that something else has."""
    settings = config.evaluation
    used = {f"evaluation.bins.{name}": name for name in settings.bins}
    if settings.working_points.observer:
        used["evaluation.working_points.observer"] = settings.working_points.observer
    for key, name in used.items():
        if name not in config.observers:
            near = difflib.get_close_matches(name, config.observers, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(config.observers) or 'none'}"
            raise ValueError(f"{key}: '{name}' is not in 'observers'; {hint}")
    if config.compare and not config.classes:
        raise ValueError("compare: has no meaning without 'classes'; remove it, or add them")
    for name in config.compare:
        if name in (*_TAKEN, *VARIANT_KINDS):
            raise ValueError(f"compare.{name}: figures of this run have this name already; choose another one")
