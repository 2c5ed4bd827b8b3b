"""The recipe of a sample: the part of the configuration that `skim` depends on."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from cyclotrain.config import Config, InputSetConfig, ModelConfig
from cyclotrain.config.definitions import needed_definitions
from cyclotrain.contract import Layout, Link, Set, belongs_to
from cyclotrain.contract.splits import SPLITS, identifying_branches
from cyclotrain.core.errors import FileError, InputError, MissingBranchError
from cyclotrain.expressions import Expression, ExpressionError
from cyclotrain.expressions.functions import FUNCTIONS

RECEIPT_FORMAT = 3  # a skim with a receipt of another format runs again
_WITHOUT_EVENT_NUMBERS = "if the tree has none, write `event_id: entry`: the file and the entry number then identify an event"


@dataclass(frozen=True)
class Recipe:
    """How the files of one sample are skimmed."""

    sample: str
    tree: str | list[str]
    friends: list[dict[str, Any]]  # tree and key of each; a job adds their files
    object: str | None
    classes: list[str]
    label: str  # without classes, of no meaning
    quantities: list[str]  # all regressed ones
    targets: dict[str, dict[str, Any]]  # expression, classes and response of the quantities that the sample has
    selection: list[str]
    define: dict[str, str]
    weight: str | None
    event_id: list[str] | Literal["entry"]
    seed: int
    split: dict[str, float] | str  # shares, one split for all events, or an expression for the split's index
    sum_of_weights: dict[str, Any] | None
    inputs: dict[str, dict[str, Any]]
    observers: list[str]
    absent_observers: list[str]  # those that the sample does not have: NaN

    @classmethod
    def from_config(cls, config: Config, sample: str) -> "Recipe":
        """Take the part of the configuration that the sample's shards depend on.

        Data have no class, target and weight; all of them are in the test split, which no training and no other step reads.
        """
        settings = config.samples[sample]
        observers = config.stored_of(sample)
        selection = [cut for cut in (config.selection, settings.selection) if cut]
        is_data = settings.data
        return cls(
            sample=sample,
            tree=settings.tree,
            friends=[friend.model_dump(exclude={"files"}) for friend in settings.friends.values()],
            object=config.object,
            classes=[] if is_data else config.classes,
            label="" if is_data else settings.label or config.label or "",
            quantities=list(config.regression),
            targets={
                name: quantity.model_dump(include={"target", "classes", "response"})
                for name, quantity in config.quantities_of(sample).items()
            },
            selection=selection,
            define=needed_definitions([*selection, *observers], config.define) if is_data else config.define,
            weight=None if is_data else settings.weight or config.weight,
            event_id=config.event_id,
            seed=config.seed,
            split="test" if is_data else settings.split or config.split.model_dump(),
            sum_of_weights=settings.sum_of_weights.model_dump() if settings.sum_of_weights else None,
            inputs={name: _input_set(inputs, config.model) for name, inputs in config.inputs.items()},
            observers=list(config.stored),
            absent_observers=[text for text in config.stored if text not in observers],
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain types, for a rule's `params`."""
        return asdict(self)

    def ingest_expressions(self) -> dict[str, Expression]:
        """The expressions that `skim` evaluates, by config key."""
        texts = {f"selection {i + 1}": cut for i, cut in enumerate(self.selection)}
        if self.weight:
            texts["weight"] = self.weight
        if self.classes and self.label not in self.classes:
            texts["label"] = self.label
        texts |= {f"regression.{name}.target": quantity["target"] for name, quantity in self.targets.items()}
        if isinstance(self.split, str) and self.split not in SPLITS:
            texts["split"] = self.split
        texts |= {f"observer '{text}'": text for text in self.observers if text not in self.absent_observers}
        return {key: Expression(text) for key, text in texts.items()}

    def model_branches(self) -> list[str]:
        """The inputs of the graph, in the order of the config."""
        texts = [
            text
            for inputs in self.inputs.values()
            for text in (*inputs["features"], inputs["valid"], inputs["sort_by"], *(inputs["four_vector"] or ()))
            if text
        ]
        return list(dict.fromkeys(name for text in texts for name in Expression(text).inputs))

    def branches(self) -> list[str]:
        """All branches to read: the inputs of the graph, and those that only `skim` needs."""
        expressions = [*self.ingest_expressions().values(), *(Expression(text) for text in self.define.values())]
        links = [b for inputs in self.inputs.values() if inputs["link"] for b in Link(**inputs["link"]).branches]
        for_ingest = [b for expression in expressions for b in expression.branches]
        names = [*self.model_branches(), *links, *identifying_branches(self.event_id), *for_ingest]
        return [name for name in dict.fromkeys(names) if name not in self.define]


def _input_set(inputs: InputSetConfig, model: ModelConfig) -> dict[str, Any]:
    """The fields of a set; its four-vector only if the network takes one."""
    four_vector = inputs.four_vector.expressions if inputs.four_vector and model.takes.four_vectors != "none" else None
    return {**inputs.model_dump(), "clip": inputs.limit, "four_vector": list(four_vector) if four_vector else None}


def layout(recipe: Recipe, depths: Mapping[str, int], path: str) -> Layout:
    """Sort the branches of the model into scalars and sets; raises FileError if config and file do not match.

    `depths`: the nesting depth of each branch, from ntuples.depths.
    """
    is_jagged = {branch: depth > 0 for branch, depth in example_depths(recipe.object, depths, path).items()}
    owner: dict[str, str] = {}
    sets = {}
    for name, inputs in recipe.inputs.items():
        link = Link(**inputs["link"]) if inputs["link"] else None
        features = Set(
            tuple(inputs["features"]), (), inputs["max_length"], inputs["valid"], inputs["clip"], link, inputs["sort_by"],
            inputs["standardise"], four_vector=tuple(inputs["four_vector"]) if inputs["four_vector"] else None,
        )  # fmt: skip
        names = dict.fromkeys(b for expression in features.expressions() for b in expression.inputs)
        if defined := [b for b in names if b in recipe.define]:
            raise InputError(
                f"inputs.{name}: '{defined[0]}' is from `define`, which the exported graph does not have; write its expression"
            )
        jagged = tuple(b for b in names if is_jagged[b])
        if features.is_jagged and not jagged:
            raise FileError(f"{path}: inputs.{name} has 'max_length', but none of its branches is jagged: {', '.join(names)}")
        if not features.is_jagged and jagged:
            raise FileError(
                f"{path}: branch '{jagged[0]}' has a list or an array per example; give inputs.{name} 'max_length' and 'valid', "
                f"so that its elements are constituents, or take one: {jagged[0]}[0]"
            )
        for key, text in (("sort_by", features.sort_by), ("valid", features.valid)):
            if text and not any(is_jagged[b] for b in Expression(text).inputs):
                raise FileError(f"{path}: inputs.{name}.{key}: '{text}' has no value for each constituent")
        for branch in jagged:
            if branch in owner:
                raise InputError(
                    f"inputs.{name}: branch '{branch}' is also in inputs.{owner[branch]}; put their features in one set"
                )
            owner[branch] = name
            if recipe.object:
                _check_link(recipe.object, name, link, branch, depths, path)
        sets[name] = replace(features, branches=jagged)
    scalars = tuple(b for b in recipe.model_branches() if not is_jagged[b])
    return Layout(scalars, sets, tuple(recipe.observers), recipe.object, tuple(recipe.quantities))


def example_depths(collection: str | None, depths: Mapping[str, int], path: str) -> dict[str, int]:
    """The nesting depth of each branch per example, from the `depths` per entry; raises FileError if it cannot be derived."""
    if collection is None:
        if nested := [branch for branch, depth in depths.items() if depth > 1]:
            raise FileError(f"{path}: branch '{nested[0]}' has lists of lists; set 'object' to make each object an example")
        return dict(depths)
    if not any(belongs_to(branch, collection) and depth > 0 for branch, depth in depths.items()):
        raise FileError(
            f"{path}: object is '{collection}', but no branch is used that has a list per event and begins with "
            f"'{collection}_', '{collection}.' or '{collection}:'; use one"
        )
    return {branch: depth - 1 if depth > 1 or belongs_to(branch, collection) else depth for branch, depth in depths.items()}


def check_numbers(
    expressions: Mapping[str, Expression], definitions: Mapping[str, str], depths: Mapping[str, int], *, where: str, unit: str
) -> None:
    """Raise InputError for an expression that is not one number per `unit`; `depths`: from `example_depths`.

    Definitions may be lists, as in `num(good_jets)`.
    """
    known = dict(depths)

    def depth(key: str, expression: Expression) -> int:
        if unknown := [branch for branch in expression.branches if branch not in known]:
            raise InputError(f"{key}: '{unknown[0]}' is defined here or later; use branches and earlier definitions only")
        try:
            return expression.depth(known)
        except ExpressionError as error:
            raise InputError(f"{where}: {key}: {error}") from None

    for name, text in definitions.items():
        known[name] = depth(f"define.{name}", Expression(text))
    for key, expression in expressions.items():
        if depth(key, expression):
            jagged = next(branch for branch in expression.branches if known[branch])
            raise InputError(
                f"{where}: {key} '{expression.text}' is a list, because '{jagged}' is jagged; make it one number per {unit}: "
                f"sum(...), any(...), {jagged}[0]"
            )


def _check_link(collection: str, name: str, link: Link | None, branch: str, depths: Mapping[str, int], path: str) -> None:
    if link is None and depths[branch] == 1:
        raise FileError(
            f"{path}: '{branch}' has a list per event; state in inputs.{name}.link how its elements belong to a {collection}"
        )
    if link is not None:
        if depths[branch] > 1:
            raise FileError(f"{path}: '{branch}' already has a list per object; remove inputs.{name}.link")
        for index in link.branches:
            if depths[index] != 1:
                raise FileError(f"{path}: inputs.{name}.link: '{index}' has no list per event")


def check_branches(recipe: Recipe, depths: Mapping[str, int], path: str) -> Layout:
    """The layout. Also checks that the expressions of ingest give one number per example."""
    file_layout, per_example = layout(recipe, depths, path), example_depths(recipe.object, depths, path)
    where = f"{path}: sample '{recipe.sample}'"
    check_numbers(recipe.ingest_expressions(), recipe.define, per_example, where=where, unit=recipe.object or "event")
    for text in file_layout.observers:
        if text in file_layout.stored_observers:
            continue
        try:
            Expression(text).check_float32()
        except ExpressionError as error:
            raise InputError(f"{where}: observer '{text}': {error}") from None
    for branch in identifying_branches(recipe.event_id):
        if depths[branch] > 1 or (depths[branch] and recipe.object and belongs_to(branch, recipe.object)):
            raise FileError(
                f"{path}: event_id uses '{branch}', which is jagged; use branches with one number per event; "
                f"{_WITHOUT_EVENT_NUMBERS}"
            )
    return file_layout


def check_sum_of_weights(expression: Expression, depths: Mapping[str, int], where: str) -> None:
    """Raise InputError for a sum of weights that is not one number per entry."""
    check_numbers({"sum_of_weights.sum": expression}, {}, depths, where=where, unit="entry")


def require_branches(names: Collection[str], known: Collection[str], where: str) -> None:
    """Raise MissingBranchError, with the nearest names, for a branch that `where` does not have; `known`: those that it has."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            listed = ", ".join(list(known)[:20]) + (", ..." if len(known) > 20 else "")
            hint = f"nearest names: {', '.join(near)}" if near else f"it has {listed or 'none'}"
            hint = f"'{name}' is a function; write its arguments" if name in FUNCTIONS else hint
            raise MissingBranchError(f"{where} has no branch '{name}'; {hint}")


def require_event_id(event_id: Sequence[str], known: Collection[str], where: str) -> None:
    """Raise FileError, with the way out, for a branch of `event_id` that `where` does not have; `known`: those that it has."""
    try:
        require_branches(identifying_branches(event_id), known, where)
    except FileError as error:
        raise FileError(
            f"{error}. event_id is [{', '.join(event_id)}]; list branches whose values together differ from event to event, or, "
            f"{_WITHOUT_EVENT_NUMBERS}"
        ) from None
