"""`inputs:`: the inputs of the model."""

from pydantic import Field, model_validator

from cyclotrain.config.base import FeatureText, Section
from cyclotrain.expressions import Expression

_STANDARD_DEVIATIONS = 10.0  # the default limit of standardised features


class LinkConfig(Section):
    """How constituents, stored in a list per event, are assigned to objects, if each example is an object."""

    count: str | None = Field(
        None,
        description="Branch with the number of constituents of each object; the list of the event has them object after object.",
    )
    object_index: str | None = Field(
        None,
        description="Branch with the index of the object, for each constituent or for each entry of an index table, such as "
        "`JetPFCands_jetIdx`. A negative index means no object.",
    )
    constituent_index: str | None = Field(
        None,
        description="Branch of the index table with the index of the constituent, such as `JetPFCands_pFCandsIdx`. Branches with "
        "the prefix of the table are read from the table itself.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "LinkConfig":
        if (self.count is None) == (self.object_index is None) or (self.count and self.constituent_index):
            raise ValueError("give 'count', or 'object_index' with or without 'constituent_index'")
        return self


class FourVectorConfig(Section):
    """The four-vector of a constituent: pt, eta, phi and energy, or px, py, pz and energy; mass may stand for energy."""

    pt: FeatureText | None = Field(None, description="Transverse momentum; in the unit of the energy, GeV or MeV.")
    eta: FeatureText | None = Field(None, description="Pseudorapidity.")
    phi: FeatureText | None = Field(None, description="Azimuth, in radians.")
    px: FeatureText | None = Field(None, description="For `pt`, `eta` and `phi`: the momentum.")
    py: FeatureText | None = Field(None, description="With `px`.")
    pz: FeatureText | None = Field(None, description="With `px`.")
    energy: FeatureText | None = Field(None, description="Energy.")
    mass: FeatureText | None = Field(None, description="For `energy`.")

    @model_validator(mode="after")
    def _complete(self) -> "FourVectorConfig":
        given = [name for name in type(self).model_fields if getattr(self, name)]
        for momentum in _MOMENTA:
            if set(given) in ({*momentum, "energy"}, {*momentum, "mass"}):
                return self
        ways = " or ".join(f"{', '.join(momentum)}" for momentum in _MOMENTA)
        raise ValueError(f"give {ways}, and energy or mass (given: {', '.join(given) or 'nothing'})")

    @property
    def expressions(self) -> tuple[str, str, str, str]:
        """Expressions for pt, eta, phi and energy."""
        pt, eta, phi = self.pt, self.eta, self.phi
        if self.px:
            px, py, pz = self.px, self.py, self.pz
            pt, eta, phi = f"pt({px}, {py})", f"eta({px}, {py}, {pz})", f"phi({px}, {py})"
        assert pt and eta and phi
        return pt, eta, phi, self.energy or f"energy({pt}, {eta}, {self.mass})"


_MOMENTA = ("pt", "eta", "phi"), ("px", "py", "pz")


class InputSetConfig(Section):
    """A set of features of the model: of the example itself, or (with `max_length`) of each of its constituents."""

    features: list[FeatureText] = Field(
        min_length=1, description="Expressions over branches, computed inside the exported graph."
    )
    max_length: int | None = Field(
        None,
        ge=1,
        description="For constituents (branches with a list or an array): use at most this number of constituents, from the "
        "first on. Leave it out for flat branches.",
    )
    valid: FeatureText | None = Field(
        None,
        description="For constituents: a condition that is true for real constituents and false for zero padding, such as "
        "`pf_pt > 0`.",
    )
    sort_by: FeatureText | None = Field(
        None,
        description="For constituents: sort by this expression, such as `pf_pt`, largest first, before the cut to `max_length`. "
        "The exported graph sorts too. Without it, constituents keep the order of the file.",
    )
    link: LinkConfig | None = Field(
        None,
        description="With `object`, for constituents in a list per event: how they are assigned to objects. Leave it out for "
        "branches with a list per object.",
    )
    standardise: bool = Field(
        True,
        description="Shift and scale each feature to mean 0 and standard deviation 1 on the training split. NaN and infinity "
        "count as the mean. With `false`, features stay in their units, and NaN and infinity count as 0.",
    )
    clip: float | None = Field(
        None,
        gt=0,
        description="Features are limited to ± this number: of standard deviations, or with `standardise: false` in the units of "
        "the feature. Default: 10 standard deviations, and no limit with `standardise: false`.",
    )

    four_vector: FourVectorConfig | None = Field(
        None,
        description="For constituents: expressions for the four-vector of each, for networks that use four-vectors. Other "
        "networks do not get it, and its branches are then not read.",
    )

    @property
    def texts(self) -> list[str]:
        """All expressions of the set."""
        four_vector = self.four_vector.expressions if self.four_vector else ()
        return [text for text in (*self.features, self.valid, self.sort_by, *four_vector) if text]

    @property
    def limit(self) -> float | None:
        """The largest absolute value that the network gets; None if there is no limit."""
        return _STANDARD_DEVIATIONS if self.clip is None and self.standardise else self.clip

    @model_validator(mode="after")
    def _valid_with_length(self) -> "InputSetConfig":
        if (self.max_length is None) != (self.valid is None):
            raise ValueError("'max_length' and 'valid' go together: both for constituents, neither for flat branches")
        if self.valid and not Expression(self.valid).is_condition:
            raise ValueError(f"valid: '{self.valid}' is a number, not a condition such as `pf_pt > 0`")
        if self.link and self.max_length is None:
            raise ValueError("'link' is for constituents; give 'max_length' and 'valid', or remove 'link'")
        if self.sort_by and self.max_length is None:
            raise ValueError("'sort_by' is for constituents; give 'max_length' and 'valid', or remove 'sort_by'")
        if self.four_vector and self.max_length is None:
            raise ValueError("'four_vector' is for constituents; give 'max_length' and 'valid', or remove 'four_vector'")
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature is listed twice")
        return self
