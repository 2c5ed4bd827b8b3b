"""`inputs:`: what the model sees of an example."""

from pydantic import Field, model_validator

from cyclotrain.config.base import FeatureText, Section
from cyclotrain.expressions import Expression


class LinkConfig(Section):
    """Where an example is an object: how constituents, which stand in a list an event, belong to it."""

    count: str | None = Field(
        None, description="Branch with the number of each object's constituents, which follow one another in the event's list."
    )
    object_index: str | None = Field(
        None,
        description="Branch with the index of the object, one for each constituent, or for each entry of an index table such as "
        "`JetPFCands_jetIdx`. A negative index belongs to no object.",
    )
    constituent_index: str | None = Field(
        None,
        description="Branch of the index table with the index of the constituent, such as `JetPFCands_pFCandsIdx`. Branches with "
        "the table's prefix are taken from the table itself.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "LinkConfig":
        if (self.count is None) == (self.object_index is None) or (self.count and self.constituent_index):
            raise ValueError("give 'count', or 'object_index' with or without 'constituent_index'")
        return self


class InputSetConfig(Section):
    """Features of the model: of the example itself, or (with `max_length`) of each of its constituents."""

    features: list[FeatureText] = Field(
        min_length=1, description="Expressions over branches, computed inside the exported graph."
    )
    max_length: int | None = Field(
        None,
        ge=1,
        description="For constituents (jagged branches): the leading ones up to this number are used. "
        "Leave it out for flat branches.",
    )
    valid: FeatureText | None = Field(
        None,
        description="For constituents: the condition that tells a real one from zero padding, such as `pf_pt > 0`.",
    )
    sort_by: FeatureText | None = Field(
        None,
        description="For constituents: the largest first, such as `pf_pt`, before they are cut to `max_length`. It is done in "
        "the exported graph too. Without it, they are taken in the order of the file.",
    )
    link: LinkConfig | None = Field(
        None,
        description="With `object`, for constituents that stand in a list an event: how they belong to an object. Leave it out "
        "for branches with a list an object.",
    )
    standardise: bool = Field(
        True, description="Shift and scale each feature to mean 0 and standard deviation 1, of the training split."
    )
    clip: float = Field(10.0, gt=0, description="Standardised features are limited to ± this number of standard deviations.")

    @model_validator(mode="after")
    def _valid_with_length(self) -> "InputSetConfig":
        if (self.max_length is None) != (self.valid is None):
            raise ValueError("'max_length' and 'valid' go together: both for constituents, neither for flat branches")
        if self.valid and not Expression(self.valid).is_condition:
            raise ValueError(f"valid: '{self.valid}' is a number, not a condition such as `pf_pt > 0`")
        if self.link and self.max_length is None:
            raise ValueError("'link' is for constituents; give 'max_length' and 'valid', or leave it out")
        if self.sort_by and self.max_length is None:
            raise ValueError("'sort_by' is for constituents; give 'max_length' and 'valid', or leave it out")
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature is listed twice")
        return self
