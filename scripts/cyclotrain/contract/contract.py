"""The contract: what the model takes, what it gives, and what it was made from. The hinge between ingest and all else."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cyclotrain.contract.layout import Layout, as_tuples
from cyclotrain.contract.splits import Fold
from cyclotrain.core.files import read_json, write_json


@dataclass(frozen=True)
class Flattening:
    """Factors on the training weight by histograms of one or two observers; outside the edges the factor is 0.

    edges: rising, a tuple for each variable; factors [n_classes][n_bins], the bins of two variables row by row.
    """

    variables: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    to: str
    factors: tuple[tuple[float, ...], ...]

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Flattening":
        """The flattening of `dataclasses.asdict`, after JSON."""
        edges, factors = (tuple(map(tuple, content[key])) for key in ("edges", "factors"))
        return cls(tuple(content["variables"]), edges, content["to"], factors)


@dataclass(frozen=True)
class Contract:
    """Everything that is downstream of `assemble` reads, and that travels inside the ONNX file."""

    run: str
    seed: int
    classes: tuple[str, ...]
    signal: str
    layout: Layout
    ranges: dict[str, tuple[float, float] | None]  # of each branch's finite values in training, real constituents alone
    class_weights: tuple[float, ...]  # factor on the physics weight in training, by class
    negative_weights: str  # in training: keep, absolute or drop
    flattening: Flattening | None
    baseline_features: tuple[str, ...]  # those of the observers that the boosted trees see
    split: dict[str, float]
    fold: Fold | None  # of a cross-training
    event_id: tuple[str, ...]
    samples: dict[str, Any]  # selection, weight, label, normalisation and number of events of each
    dataset_sha256: str  # of the skimmed content

    @property
    def normalisation(self) -> dict[str, float]:
        """Factor on the weights in the shards, by sample: cross section * luminosity / sum of generator weights, or 1."""
        return {name: sample["normalisation"] for name, sample in self.samples.items()}

    def write(self, path: str | Path) -> None:
        """Write as JSON."""
        write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types, with the graph's inputs and their shapes spelt out for a reader."""
        inputs = [
            {"branch": branch, "shape": ["batch", name or 1], "dtype": "float32"} for branch, name in self.layout.inputs.items()
        ]
        return {
            "format": 1,
            "inputs": inputs,
            "output": {"name": "probabilities", "classes": self.classes},
            **asdict(self),
        }

    @classmethod
    def read(cls, path: str | Path) -> "Contract":
        """Read a contract.json."""
        return cls.from_dict(read_json(path))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Contract":
        """The contract of `to_dict`."""
        fields = {name: content[name] for name in cls.__dataclass_fields__}
        fields["layout"] = Layout.from_dict(fields["layout"])
        fields["ranges"] = as_tuples(fields["ranges"])
        fields["fold"] = Fold(**fields["fold"]) if fields["fold"] else None
        fields["flattening"] = Flattening.from_dict(fields["flattening"]) if fields["flattening"] else None
        return cls(**as_tuples(fields))
