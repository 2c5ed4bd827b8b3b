"""`systematics:`: variations of the simulation, and what they do to scores and figures."""

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from cyclotrain.config.base import ExpressionText, FeatureText, Name, Section

if TYPE_CHECKING:
    from cyclotrain.config import Config

Direction = Literal["up", "down"]


class VariationConfig(Section):
    """One variation of the simulation: other samples, other weights, or other values of branches."""

    samples: dict[Name, Name] = Field(
        {},
        description="Samples, and the sample that is used instead of each, with the same label: `{ttbar: ttbar_herwig}`. A "
        "sample that is used instead of another is in no training.",
    )
    weight: ExpressionText | None = Field(
        None, description="Factor on the weight of an event: `puWeightUp / puWeight`, `LHEScaleWeight[8]`."
    )
    branches: dict[str, FeatureText] = Field(
        {},
        description="Branches of the model's input, and the expression that each is replaced by: `{pf_pt: pf_pt * 1.02}`. All "
        "expressions use the values from before.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "VariationConfig":
        if [bool(self.samples), self.weight is not None, bool(self.branches)].count(True) != 1:
            raise ValueError("give one of 'samples', 'weight' and 'branches'")
        return self


class SystematicConfig(Section):
    """A systematic uncertainty: a variation up and one down, or `up` alone."""

    up: VariationConfig = Field(description="The variation upwards, or the only one.")
    down: VariationConfig | None = Field(None, description="The variation downwards.")

    @property
    def variations(self) -> dict[Direction, VariationConfig]:
        """By direction."""
        return {"up": self.up, **({"down": self.down} if self.down else {})}


def variations(config: "Config") -> Iterator[tuple[str, Direction, VariationConfig]]:
    """All variations with the name of their systematic uncertainty and their direction."""
    for name, systematic in config.systematics.items():
        for direction, variation in systematic.variations.items():
            yield name, direction, variation


def check(config: "Config") -> None:
    """Raise ValueError for a variation by a sample that does not exist, is data, or has another label."""
    if config.systematics and not config.classes:
        raise ValueError("systematics: they are measured on the scores of classes, and there are no 'classes'; remove them")
    for name, direction, variation in variations(config):
        for nominal, other in variation.samples.items():
            key = f"systematics.{name}.{direction}.samples"
            for sample in (nominal, other):
                if sample not in config.samples:
                    near = difflib.get_close_matches(sample, config.samples, n=1)
                    hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(config.samples)}"
                    raise ValueError(f"{key}: there is no sample '{sample}'; {hint}")
                if config.samples[sample].data:
                    raise ValueError(f"{key}: '{sample}' is data, which no variation can use")
            if nominal in config.variation_samples:
                raise ValueError(f"{key}: '{nominal}' is used instead of another sample, so it cannot be replaced itself")
            if config.samples[nominal].label != config.samples[other].label:
                raise ValueError(f"{key}: '{nominal}' and '{other}' have different labels; give both the same")
