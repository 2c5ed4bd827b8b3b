"""`samples:`: physics processes and their files."""

from typing import Literal

from pydantic import Field, model_validator

from cyclotrain.config.base import ExpressionText, Name, Place, Section


class SimulateConfig(Section):
    """A sample simulated with Pythia 8 and FastJet: boosted jets at 13 TeV, see docs/demo-sample.md."""

    process: Literal["qcd", "ttbar"] = Field(description="`qcd`: light jets; `ttbar`: hadronic top quarks.")
    jets: int = Field(ge=1, description="Minimum number of jets to simulate.")
    files: int = Field(4, ge=1, description="Number of ROOT files; each is a job with its own random seed.")


class SumOfWeightsConfig(Section):
    """The sum of generator weights of a file, over all events generated for it."""

    tree: str | None = Field(None, description="Tree with the weights, such as `Runs`. Default: the tree of the sample.")
    sum: ExpressionText = Field(
        description="Expression to sum over all entries of that tree, before any selection: `genEventSumw` for NanoAOD's `Runs`, "
        "`genWeight` for a tree with all events, or `1` to count them."
    )


class FriendConfig(Section):
    """Friend trees: more branches for the entries of the sample's files."""

    files: list[Place] = Field(
        min_length=1,
        description="ROOT files, one for each file of the sample, in the same order; with `by`, a single file may serve all.",
    )
    tree: str | list[str] = Field("Events", description="Name of the friend's tree, as for samples.")
    by: list[str] = Field(
        [],
        description="Branches that identify an entry in both trees, such as `[run, luminosityBlock, event]`. Without them, both "
        "trees must have the same entries in the same order.",
    )


class SampleConfig(Section):
    """A physics process and its ROOT files."""

    files: list[Place] = Field(
        [],
        description="ROOT files: paths and globs (`*`, `**`, `?`, `[...]`), relative to the working directory, `root://` and "
        "`https://` URLs, and `.txt` files that list any of these, one per line. `~`, variables and `{a,b}` are not expanded.",
    )
    simulate: SimulateConfig | None = Field(None, description="Simulate the files, instead of `files`; for the demo.")
    tree: str | list[str] = Field(
        "Events", description="Name of the TTree or RNTuple in each file; from a list, the first one in the file is used."
    )
    friends: dict[Name, FriendConfig] = Field(
        {}, description="Friend trees, by a name: their branches are used as if they were the sample's own."
    )
    label: str | None = Field(
        None,
        description="The class of these events: a name from `classes`, or an expression that gives an index into `classes`. "
        "Default: the common `label`.",
    )
    selection: ExpressionText | None = Field(None, description="Cut in addition to the common `selection`.")
    weight: ExpressionText | None = Field(None, description="Physics weight of an event, instead of the common `weight`.")
    cross_section: float | None = Field(
        None,
        gt=0,
        description="Cross section in pb, including branching fractions and k factors. Weights are multiplied by cross section * "
        "luminosity / (sum of generator weights over all files of the sample).",
    )
    sum_of_weights: SumOfWeightsConfig | None = Field(
        None, description="With `cross_section`: where the sum of generator weights comes from."
    )
    split: str | None = Field(
        None,
        description="For a sample that is already split: `train`, `validation` or `test`, or an expression that gives 0, 1 or 2 "
        "for them. Without it, the hash of the event decides.",
    )
    data: bool = Field(
        False,
        description="Recorded data: no class, weight 1, never in training, validation or test. Inputs, observers and scores of "
        "simulation are compared with it (docs/inputs-and-data.md). The common `label` and `weight` are not for it.",
    )
    absent: list[str] = Field(
        [],
        description="For `data: true`: branches of simulation that data do not have, such as `genWeight`. Observers that use "
        "them are not compared.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "SampleConfig":
        if bool(self.files) == bool(self.simulate):
            raise ValueError("give either 'files' or 'simulate'")
        if self.simulate and self.friends:
            raise ValueError("a simulated sample has no friends")
        if (self.cross_section is None) != (self.sum_of_weights is None):
            raise ValueError(
                "'cross_section' and 'sum_of_weights' go together: weights are multiplied by the first over the second"
            )
        return self

    @model_validator(mode="after")
    def _data_are_not_simulation(self) -> "SampleConfig":
        for key in ("label", "weight", "cross_section", "split") if self.data else ():
            if getattr(self, key) is not None:
                raise ValueError(f"'{key}' is for simulation, and 'data: true' makes this sample data; remove one of the two")
        if self.absent and not self.data:
            raise ValueError("'absent' is for a sample with 'data: true'; remove it")
        return self
