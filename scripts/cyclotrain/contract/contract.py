"""The contract: what the model takes, what it gives, and what it was made from. The hinge between ingest and all else."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cyclotrain.contract.splits import Fold
from cyclotrain.core.provenance import read_json, write_json
from cyclotrain.expressions import Expression


def mask_group(name: str) -> str:
    """In a preprocess.json, the group that tells the real constituents of a set."""
    return f"{name}_mask"


def is_of(branch: str, collection: str) -> bool:
    """Whether a branch is of a collection by its name: `Jet_pt` of `Jet` in NanoAOD, `AnalysisJetsAuxDyn.pt` of
    `AnalysisJetsAuxDyn` in ATLAS's PHYSLITE, `Jet/Jet.PT` of `Jet` in Delphes.
    """
    return branch.rpartition("/")[2].startswith((f"{collection}_", f"{collection}."))


@dataclass(frozen=True)
class Link:
    """How constituents belong to an object: by `count` of each object's, which follow one another, or by index.

    `object_index` is held by each constituent, or by each entry of a table whose `constituent_index` points at them.
    """

    count: str | None = None
    object_index: str | None = None
    constituent_index: str | None = None

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches that hold it."""
        return tuple(b for b in (self.count, self.object_index, self.constituent_index) if b)


@dataclass(frozen=True)
class Set:
    """A set of features of the model, with the numbers that standardise them.

    A flat set has no `max_length` and no `valid`; a set of constituents has both and owns its jagged `branches`. `sort_by`: the
    largest first; None for the order of the file. `link`: where an example is an object, how the constituents belong to it; None
    if the file has a list an object. `mean` and `std` [n_features] are of the finite values of the training split, or 0 and 1.
    """

    features: tuple[str, ...]
    branches: tuple[str, ...]  # jagged, in the order of the shard's columns
    max_length: int | None
    valid: str | None
    clip: float
    link: Link | None = None
    sort_by: str | None = None
    standardise: bool = True
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def is_jagged(self) -> bool:
        """True for constituents."""
        return self.max_length is not None

    def expressions(self) -> list[Expression]:
        """The features, and `valid` and `sort_by` where there are such."""
        return [Expression(text) for text in (*self.features, self.valid, self.sort_by) if text]


@dataclass(frozen=True)
class Layout:
    """Which branches a shard holds: `scalars` one value an example, the jagged ones by set.

    `object`: the collection of which each object is an example; None where each entry of the tree is one.
    """

    scalars: tuple[str, ...]
    sets: dict[str, Set]
    observers: tuple[str, ...]  # expressions: of the baseline and of `flatten`
    object: str | None = None

    @property
    def inputs(self) -> dict[str, str | None]:
        """The inputs of the graph in order: branch to the name of its set, None for a scalar."""
        jagged = {branch: name for name, features in self.sets.items() for branch in features.branches}
        return {**dict.fromkeys(self.scalars), **jagged}

    @property
    def read(self) -> list[str]:
        """The branches that an example is made from: the inputs, and those of the links."""
        links = [branch for features in self.sets.values() if features.link for branch in features.link.branches]
        return list(dict.fromkeys([*self.inputs, *links]))

    @cached_property
    def own_observers(self) -> tuple[str, ...]:
        """Those that are evaluated at ingest, and a shard holds; what is of scalars alone is evaluated when it is read."""
        return tuple(text for text in self.observers if not set(Expression(text).branches) <= set(self.scalars))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Layout":
        """The layout of `dataclasses.asdict`, after JSON."""
        sets = {}
        for name, features in content["sets"].items():
            link = Link(**features["link"]) if features["link"] else None
            sets[name] = Set(**_tuples({**features, "link": link}))
        return cls(tuple(content["scalars"]), sets, tuple(content["observers"]), content["object"])


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}


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
        fields["ranges"] = _tuples(fields["ranges"])
        fields["fold"] = Fold(**fields["fold"]) if fields["fold"] else None
        fields["flattening"] = Flattening.from_dict(fields["flattening"]) if fields["flattening"] else None
        return cls(**_tuples(fields))
