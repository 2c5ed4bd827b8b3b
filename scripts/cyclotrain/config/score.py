"""`score:`: more ntuples to score."""

from pydantic import Field

from cyclotrain.config.base import ExpressionText, Name, Place, Section
from cyclotrain.config.samples import FriendConfig


class ScoreConfig(Section):
    """Ntuples that get friend trees, besides the samples."""

    files: list[Place] = Field(min_length=1, description="ROOT files to score, as for samples.")
    tree: str | list[str] = Field("Events", description="Name of the TTree or RNTuple in each of these files, as for samples.")
    friends: dict[Name, FriendConfig] = Field({}, description="Friend trees of these files, as for samples.")
    selection: ExpressionText | None = Field(
        None, description="Entries that fail it get -1 instead of probabilities. Default: the common `selection`."
    )
