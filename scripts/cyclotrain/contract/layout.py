"""What an example holds: which branches are scalars, which belong to a set of constituents, and their features."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
            sets[name] = Set(**as_tuples({**features, "link": link}))
        return cls(tuple(content["scalars"]), sets, tuple(content["observers"]), content["object"])


def as_tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
