"""What all results are made of, and the names of what gives scores."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from cyclotrain.core.files import write_json

# The exported model, which takes raw branches, among the files that are verified and among what gives scores. A variant goes by
# its kind.
MODEL = "model"
NETWORK = "network"  # alone, behind a preprocess.json
FCCANALYSES = "fccanalyses"  # the network alone, behind the JSON of FCCAnalyses' and k4MLJetTagger's WeaverInterface
TORCHSCRIPT = "torchscript"  # the model for LibTorch, which takes branches by position
AOT_INDUCTOR = ("aot_inductor_v2", "aot_inductor_v3")  # the model compiled for LibTorch, for x86-64-v2 and -v3
BOOSTED_TREES = "boosted_trees"


class Frozen(BaseModel):
    """A part of a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Result(Frozen):
    """A result that is a JSON file."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the file; raises pydantic's ValidationError for another content."""
        return cls.model_validate_json(Path(path).read_bytes())

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all; raises ValueError for NaN and infinity, which JSON does not have."""
        write_json(path, self.model_dump(mode="json"))


class Figure(Frozen):
    """A number with its statistical uncertainty (one standard deviation); None where nothing is left to measure it."""

    value: float | None
    uncertainty: float | None = None


class Study(Result, ABC):
    """A result that not every run has."""

    @abstractmethod
    def figures(self) -> dict[str, Figure]:
        """What it measures, by name."""
