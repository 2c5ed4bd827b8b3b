"""The layout of an example: which branches are scalars, which belong to a set of constituents, and the features."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cyclotrain.expressions import Expression


def mask_group(name: str) -> str:
    """Name of the group that holds the mask of a set (1 for a real constituent) in a preprocess.json."""
    return f"{name}_mask"


def vectors_group(name: str) -> str:
    """Name of the group that holds the four-vectors of a set in a preprocess.json."""
    return f"{name}_vectors"


def belongs_to(branch: str, collection: str) -> bool:
    """Whether a branch belongs to a collection, judged by its name.

    NanoAOD: `Jet_pt` to `Jet`; ATLAS's PHYSLITE: `AnalysisJetsAuxDyn.pt`, in an RNTuple `AnalysisJetsAuxDyn:pt`, to
    `AnalysisJetsAuxDyn`; Delphes: `Jet/Jet.PT` to `Jet`; a list of structs in an RNTuple: `jets.pt` to `jets`.
    """
    if branch.endswith("]"):  # an element of a list of the event, `Jet_pt[0]`
        return False
    return branch.rpartition("/")[2].startswith((f"{collection}_", f"{collection}.", f"{collection}:"))


@dataclass(frozen=True)
class Link:
    """How constituents are assigned to objects: by `count`, or by index.

    `count`: the number of constituents of each object; those of one object follow those of the object before. `object_index`:
    the object of each constituent, or of each entry of a table whose `constituent_index` points to the constituent.
    """

    count: str | None = None
    object_index: str | None = None
    constituent_index: str | None = None

    @property
    def branches(self) -> tuple[str, ...]:
        """The branches that the link reads."""
        return tuple(b for b in (self.count, self.object_index, self.constituent_index) if b)


@dataclass(frozen=True)
class Set:
    """A set of features of the model, with the numbers that standardise them.

    A flat set has no `max_length` and no `valid`; a set of constituents has both, and its own jagged `branches`. `sort_by`: the
    largest first; None keeps the order of the file. `link`: how constituents are assigned to objects, if an example is an
    object; None if the file has a list per object. `clip`: the limit of features after standardisation, if any. `mean` and `std`
    [n_features]: of the finite values in the training split, or 0 and 1 without standardisation. `four_vector`: expressions for
    pt, eta, phi and energy of a constituent; None if the network takes none.
    """

    features: tuple[str, ...]
    branches: tuple[str, ...]  # jagged, in the order of the shard's columns
    max_length: int | None
    valid: str | None
    clip: float | None
    link: Link | None = None
    sort_by: str | None = None
    standardise: bool = True
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    four_vector: tuple[str, str, str, str] | None = None

    @property
    def is_jagged(self) -> bool:
        """True for a set of constituents."""
        return self.max_length is not None

    def expressions(self) -> list[Expression]:
        """The features, then `valid`, `sort_by` and the four-vector if they are given."""
        texts = (*self.features, self.valid, self.sort_by, *(self.four_vector or ()))
        return [Expression(text) for text in texts if text]


@dataclass(frozen=True)
class Observer:
    """A variable of an example that the config declares: its name, its expression, and its label on plots."""

    name: str
    expression: str
    label: str


@dataclass(frozen=True)
class Layout:
    """The branches of a shard: `scalars` have one value per example, jagged branches belong to a set.

    `object`: the collection whose objects are the examples; None if each entry of the tree is an example. `targets`: the
    regressed quantities, each with a column.
    """

    scalars: tuple[str, ...]
    sets: dict[str, Set]
    observers: tuple[str, ...]  # expressions that boosted trees, `flatten` and figures use
    object: str | None = None
    targets: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, str | None]:
        """The inputs of the graph in order: each branch with the name of its set, None for a scalar."""
        jagged = {branch: name for name, features in self.sets.items() for branch in features.branches}
        return {**dict.fromkeys(self.scalars), **jagged}

    @property
    def branches(self) -> list[str]:
        """The branches that an example is built from: the inputs, and those of the links."""
        links = [branch for features in self.sets.values() if features.link for branch in features.link.branches]
        return list(dict.fromkeys([*self.inputs, *links]))

    @cached_property
    def stored_observers(self) -> tuple[str, ...]:
        """The observers that ingest computes and a shard stores; those that use scalars only are computed on reading."""
        return tuple(text for text in self.observers if not set(Expression(text).branches) <= set(self.scalars))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Layout":
        """From the result of `dataclasses.asdict`, read back from JSON."""
        sets = {}
        for name, set_fields in fields["sets"].items():
            link = Link(**set_fields["link"]) if set_fields["link"] else None
            sets[name] = Set(**lists_to_tuples({**set_fields, "link": link}))
        observers, targets = tuple(fields["observers"]), tuple(fields["targets"])
        return cls(tuple(fields["scalars"]), sets, observers, fields["object"], targets)


def lists_to_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """The same fields with JSON's lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
