"""The contract: the model's inputs, its outputs, and how it was made. Everything downstream of `assemble` reads it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cyclotrain.contract.layout import Layout, Observer, lists_to_tuples
from cyclotrain.contract.outputs import OUTPUT, Output, Quantity
from cyclotrain.contract.splits import Fold
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import read_json, write_json

_FORMAT = 3
ALL = "all"  # stands for a class where there are no classes, in sums over examples


@dataclass(frozen=True)
class Flattening:
    """Factors on the training weight, binned in one or two observers; outside the edges the factor is 0.

    edges: rising, one tuple per variable; factors [n_classes][n_bins], with the bins of two variables row by row.
    """

    variables: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    to: str
    factors: tuple[tuple[float, ...], ...]

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Flattening":
        """From the result of `dataclasses.asdict`, read back from JSON."""
        edges, factors = (tuple(map(tuple, fields[key])) for key in ("edges", "factors"))
        return cls(tuple(fields["variables"]), edges, fields["to"], factors)


@dataclass(frozen=True)
class Contract:
    """What everything downstream of `assemble` needs to know; it is stored inside the ONNX file."""

    run: str
    seed: int
    classes: tuple[str, ...]  # none if the model only regresses
    signal: str | None  # None without classes
    regression: tuple[Quantity, ...]
    layout: Layout
    ranges: dict[str, tuple[float, float] | None]  # by branch: of finite values in training, real constituents only
    class_weights: tuple[float, ...]  # by group, factor on the weight in training
    training_weights: str  # what this weight is: physics, or none for 1
    negative_weights: str  # treatment in training: keep, absolute or drop
    flattening: Flattening | None
    baseline_features: tuple[str, ...]  # expressions among layout.observers
    observers: tuple[Observer, ...]  # those that the config declares, for figures; their expressions are among layout.observers
    split: dict[str, float]
    fold: Fold | None  # in a cross-training
    event_id: tuple[str, ...] | Literal["entry"]  # branches, or the file and the entry number
    samples: dict[str, Any]  # selection, weight, label, normalisation and number of events, by sample
    dataset_sha256: str  # of the skimmed data

    @property
    def groups(self) -> tuple[str, ...]:
        """What the labels of examples are indices of: the classes, or one group of all examples."""
        return self.classes or (ALL,)

    @property
    def signal_index(self) -> int:
        """The index of the signal class; only with classes."""
        assert self.signal is not None
        return self.classes.index(self.signal)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs of the graph, in order."""
        probabilities = [Output(OUTPUT, self.classes)] if self.classes else []
        return (*probabilities, *(Output(quantity.name, quantity.columns) for quantity in self.regression))

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each column of all outputs side by side: as many numbers as the network gives for an example."""
        return tuple(column for output in self.outputs for column in output.columns)

    @property
    def scales(self) -> tuple[float, ...]:
        """The fitted scale of each column of the regressed quantities, which follow the classes."""
        return tuple(quantity.scale for quantity in self.regression for _ in quantity.columns)

    @property
    def normalisation(self) -> dict[str, float]:
        """By sample, factor on the weights in the shards: cross section * luminosity / sum of generator weights, or 1."""
        return {name: sample["normalisation"] for name, sample in self.samples.items()}

    def write(self, path: str | Path) -> None:
        """Write as JSON."""
        write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, plus the inputs and outputs of the graph with their shapes, for readers."""
        inputs = [
            {"branch": branch, "shape": ["batch", name or 1], "dtype": "float32"} for branch, name in self.layout.inputs.items()
        ]
        outputs = [
            {"name": output.name, "shape": ["batch", len(output.columns)], "dtype": "float32", "columns": output.columns}
            for output in self.outputs
        ]
        probabilities = {"output": {"name": OUTPUT, "classes": self.classes}} if self.classes else {}
        return {"format": _FORMAT, "inputs": inputs, **probabilities, "outputs": outputs, **asdict(self)}

    @classmethod
    def read(cls, path: str | Path) -> "Contract":
        """Read a contract.json."""
        return cls.from_dict(read_json(path))

    @classmethod
    def from_dict(cls, json_fields: dict[str, Any]) -> "Contract":
        """From the result of `to_dict`, read back from JSON; raises InputError for that of another version of Cyclotrain."""
        if json_fields.get("format") != _FORMAT:
            raise InputError(
                f"the contract of run '{json_fields.get('run')}' has the format {json_fields.get('format')}, and this version of "
                f"Cyclotrain reads {_FORMAT}; run the workflow again, or use the version that wrote it"
            )
        fields = {name: json_fields[name] for name in cls.__dataclass_fields__}
        fields["layout"] = Layout.from_dict(fields["layout"])
        fields["regression"] = tuple(map(Quantity.from_dict, fields["regression"]))
        fields["observers"] = tuple(Observer(**one) for one in fields["observers"])
        fields["ranges"] = lists_to_tuples(fields["ranges"])
        fields["fold"] = Fold(**fields["fold"]) if fields["fold"] else None
        fields["flattening"] = Flattening.from_dict(fields["flattening"]) if fields["flattening"] else None
        return cls(**lists_to_tuples(fields))
