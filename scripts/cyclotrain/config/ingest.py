"""The sections on samples, on what belongs to an example, and on what the model sees of it."""

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from cyclotrain.config.base import ExpressionText, FeatureText, Name, Place, Section
from cyclotrain.expressions import Expression


class Simulate(Section):
    """A sample made here with Pythia 8 and FastJet: boosted jets at 13 TeV, see docs/demo-sample.md."""

    process: Literal["qcd", "ttbar"] = Field(description="`qcd`: light jets; `ttbar`: hadronic top quarks.")
    jets: int = Field(ge=1, description="Number of jets to make, at least.")
    files: int = Field(4, ge=1, description="Number of ROOT files, each a job with its own random seed.")


class SumOfWeights(Section):
    """The sum of generator weights of a file, over all events that were generated for it."""

    tree: str | None = Field(None, description="Tree that holds it, such as `Runs`. Default: the tree of the sample.")
    sum: ExpressionText = Field(
        description="Expression summed over all entries of that tree, before any selection: `genEventSumw` of NanoAOD's `Runs`, "
        "`genWeight` of a tree that holds all events, or `1` to count them."
    )


class FriendTree(Section):
    """Trees whose branches are used beside those of the sample's files."""

    files: list[Place] = Field(
        min_length=1,
        description="ROOT files, one for each file of the sample, in the same order; with `by`, a single one may be for all.",
    )
    tree: str | list[str] = Field("Events", description="Name of the friend's tree, as for samples.")
    by: list[str] = Field(
        [],
        description="Branches that tell an entry in both trees, such as `[run, luminosityBlock, event]`; without any, entries "
        "stand in the same order.",
    )


class Sample(Section):
    """A physics process and its ROOT files."""

    files: list[Place] = Field(
        [],
        description="ROOT files: paths and globs, relative to the working directory, `root://` and `https://` URLs, and lists of "
        "such, `.txt` files with one a line.",
    )
    simulate: Simulate | None = Field(None, description="Make the files here, in place of `files`; for the demo.")
    tree: str | list[str] = Field(
        "Events", description="Name of the TTree or RNTuple in each file; of a list, the first that a file has."
    )
    friends: dict[Name, FriendTree] = Field(
        {}, description="Friend trees, by a name: their branches are used as if they were the sample's own."
    )
    label: str | None = Field(
        None,
        description="The class of these events: a name from `classes`, or an expression that gives its index. "
        "Without it, the common `label` holds.",
    )
    selection: ExpressionText | None = Field(None, description="Cut on top of the common `selection`.")
    weight: ExpressionText | None = Field(None, description="Physics weight of an event, in place of the common `weight`.")
    cross_section: float | None = Field(
        None,
        gt=0,
        description="Cross section in pb, with branching fractions and k factors. Weights are scaled by cross section * "
        "luminosity / sum of generator weights, over all files of the sample.",
    )
    sum_of_weights: SumOfWeights | None = Field(
        None, description="With `cross_section`: where the sum of generator weights comes from."
    )
    split: str | None = Field(
        None,
        description="For a sample that comes split: `train`, `validation` or `test`, or an expression that gives 0, 1 or 2 for "
        "them. Without it, the event's hash decides.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Sample":
        if bool(self.files) == bool(self.simulate):
            raise ValueError("give either 'files' or 'simulate'")
        if self.simulate and self.friends:
            raise ValueError("a simulated sample has no friends")
        if (self.cross_section is None) != (self.sum_of_weights is None):
            raise ValueError(
                "'cross_section' and 'sum_of_weights' go together: the first over the second is the weight of an event"
            )
        return self


class Score(Section):
    """Ntuples that did not make the model, and get its friend trees."""

    files: list[Place] = Field(min_length=1, description="ROOT files to score, as for samples.")
    tree: str | list[str] = Field("Events", description="Name of the TTree or RNTuple in each of these files, as for samples.")
    friends: dict[Name, FriendTree] = Field({}, description="Friend trees of these files, as for samples.")
    selection: ExpressionText | None = Field(
        None, description="Entries that fail it get -1 in place of probabilities. Default: the common `selection`."
    )


class Link(Section):
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
    def _one_way(self) -> "Link":
        if (self.count is None) == (self.object_index is None) or (self.count and self.constituent_index):
            raise ValueError("give 'count', or 'object_index' with or without 'constituent_index'")
        return self


class InputSet(Section):
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
    link: Link | None = Field(
        None,
        description="With `object`, for constituents that stand in a list an event: how they belong to an object. Leave it out "
        "for branches with a list an object.",
    )
    standardise: bool = Field(
        True, description="Shift and scale each feature to mean 0 and standard deviation 1, of the training split."
    )
    clip: float = Field(10.0, gt=0, description="Standardised features are limited to ± this number of standard deviations.")

    @model_validator(mode="after")
    def _valid_with_length(self) -> "InputSet":
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


class Flatten(Section):
    """Training weights by histograms of the training split."""

    variables: dict[ExpressionText, list[float]] = Field(
        min_length=1,
        max_length=2,
        description="One or two expressions that give one number an example, each with the edges of its bins. Examples outside "
        "get the training weight 0.",
    )
    to: str = Field("flat", description="The distribution that all classes get: `flat`, or the name of a class, for its own.")

    @model_validator(mode="after")
    def _edges(self) -> "Flatten":
        for name, edges in self.variables.items():
            if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
                raise ValueError(f"the edges of '{name}' must be two numbers or more, and rise")
        return self


class Split(Section):
    """Shares of the three splits; they sum to 1."""

    train: float = Field(0.6, gt=0, lt=1, description="Share of events that train the model.")
    validation: float = Field(0.1, gt=0, lt=1, description="Share of events that choose the best epoch.")
    test: float = Field(0.3, gt=0, lt=1, description="Share of events that all figures are computed on.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Split":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total:g}, not 1")
        return self
