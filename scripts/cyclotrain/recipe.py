"""What is done to each sample and to the dataset: the parts of the configuration that the rules of ingest depend on."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cyclotrain.config import Config
from cyclotrain.contract import Layout, Link, Set, is_of
from cyclotrain.errors import InputError
from cyclotrain.expressions import Expression


@dataclass(frozen=True)
class Recipe:
    """What is done to the files of one sample."""

    sample: str
    tree: str
    object: str | None
    classes: list[str]
    label: str
    selection: list[str]
    define: dict[str, str]
    weight: str | None
    event_id: list[str]
    seed: int
    split: dict[str, float]
    inputs: dict[str, dict[str, Any]]
    observers: list[str]

    @classmethod
    def of(cls, config: Config, sample: str) -> "Recipe":
        """The part of the configuration that a sample's shards depend on."""
        of_sample = config.samples[sample]
        label = of_sample.label or config.label
        assert label is not None  # checked by Config
        return cls(
            sample=sample,
            tree=of_sample.tree,
            object=config.object,
            classes=config.classes,
            label=label,
            selection=[cut for cut in (config.selection, of_sample.selection) if cut],
            define=config.define,
            weight=of_sample.weight or config.weight,
            event_id=config.event_id,
            seed=config.seed,
            split=config.split.model_dump(),
            inputs={name: inputs.model_dump() for name, inputs in config.inputs.items()},
            observers=list(config.baseline_features),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a rule's `params`."""
        return asdict(self)

    def ingest(self) -> dict[str, Expression]:
        """The expressions that are evaluated here, by their config key."""
        texts = {f"selection {i + 1}": cut for i, cut in enumerate(self.selection)}
        if self.weight:
            texts["weight"] = self.weight
        if self.label not in self.classes:
            texts["label"] = self.label
        texts |= {f"baseline feature '{text}'": text for text in self.observers}
        return {key: Expression(text) for key, text in texts.items()}

    def model_branches(self) -> list[str]:
        """The branches that the graph takes, in the order of the config."""
        texts = [text for inputs in self.inputs.values() for text in (*inputs["features"], inputs["valid"]) if text]
        return list(dict.fromkeys(branch for text in texts for branch in Expression(text).branches))

    def branches(self) -> list[str]:
        """All branches that are read: those that the graph takes, and those of ingest."""
        ingest = [*self.ingest().values(), *(Expression(text) for text in self.define.values())]
        links = [b for inputs in self.inputs.values() if inputs["link"] for b in Link(**inputs["link"]).branches]
        of_ingest = [b for expression in ingest for b in expression.branches]
        names = [*self.model_branches(), *links, *self.event_id, *of_ingest]
        return [name for name in dict.fromkeys(names) if name not in self.define]


def layout(recipe: Recipe, depths: Mapping[str, int], path: str) -> Layout:
    """Sort the branches of the model into scalars and sets; raises InputError where config and file do not fit.

    `depths`: of ntuples.depths, lists within lists of each branch.
    """
    is_jagged = _is_jagged(recipe, depths, path)
    owner: dict[str, str] = {}
    sets = {}
    for name, inputs in recipe.inputs.items():
        link = Link(**inputs["link"]) if inputs["link"] else None
        features = Set(tuple(inputs["features"]), (), inputs["max_length"], inputs["valid"], inputs["clip"], link)
        names = dict.fromkeys(b for expression in features.expressions() for b in expression.branches)
        if defined := [b for b in names if b in recipe.define]:
            raise InputError(
                f"inputs.{name}: '{defined[0]}' is from `define`, which the exported graph does not have; write it out"
            )
        jagged = tuple(b for b in names if is_jagged[b])
        if features.is_jagged and not jagged:
            raise InputError(f"{path}: inputs.{name} has 'max_length', but none of its branches is jagged: {', '.join(names)}")
        if not features.is_jagged and jagged:
            raise InputError(f"{path}: branch '{jagged[0]}' is jagged; give inputs.{name} 'max_length' and 'valid'")
        for branch in jagged:
            if branch in owner:
                raise InputError(
                    f"inputs.{name}: branch '{branch}' is in inputs.{owner[branch]} too; put their features in one set"
                )
            owner[branch] = name
            if recipe.object:
                _check_link(recipe.object, name, link, branch, depths, path)
        sets[name] = replace(features, branches=jagged)
    scalars = tuple(b for b in recipe.model_branches() if not is_jagged[b])
    return Layout(scalars, sets, tuple(recipe.observers), recipe.object)


def _is_jagged(recipe: Recipe, depths: Mapping[str, int], path: str) -> dict[str, bool]:
    """For each branch, whether an example has a list of it."""
    if recipe.object is None:
        if nested := [branch for branch, depth in depths.items() if depth > 1]:
            raise InputError(f"{path}: branch '{nested[0]}' has lists of lists an entry; make each object an example by 'object'")
        return {branch: depth > 0 for branch, depth in depths.items()}
    if not any(is_of(branch, recipe.object) and depth > 0 for branch, depth in depths.items()):
        raise InputError(
            f"{path}: object is '{recipe.object}', and no branch '{recipe.object}_...' with a list an event is used; use one"
        )
    return {branch: depth > 1 or (depth == 1 and not is_of(branch, recipe.object)) for branch, depth in depths.items()}


def _check_link(collection: str, name: str, link: Link | None, branch: str, depths: Mapping[str, int], path: str) -> None:
    if link is None and depths[branch] == 1:
        raise InputError(
            f"{path}: '{branch}' has a list an event; say in inputs.{name}.link how its elements belong to a {collection}"
        )
    if link is not None:
        if depths[branch] > 1:
            raise InputError(f"{path}: '{branch}' has a list an object already; leave inputs.{name}.link out")
        for of_link in link.branches:
            if depths[of_link] != 1:
                raise InputError(f"{path}: inputs.{name}.link: '{of_link}' has no list an event")


def check_branches(recipe: Recipe, depths: Mapping[str, int], path: str) -> Layout:
    """The layout, with the branches of every expression of ingest known to be flat."""
    found, is_jagged = layout(recipe, depths, path), _is_jagged(recipe, depths, path)
    ingest = [*recipe.ingest().items(), *((f"define.{name}", Expression(text)) for name, text in recipe.define.items())]
    for key, expression in [*ingest, ("event_id", None)]:
        for branch in expression.branches if expression else recipe.event_id:
            if is_jagged.get(branch, False):
                one = f"one number a {recipe.object}" if recipe.object else "one number an event"
                raise InputError(f"{path}: {key} of sample '{recipe.sample}' uses '{branch}', which is jagged; {one} is needed")
    for branch in recipe.event_id:
        if depths.get(branch, 0):
            raise InputError(f"{path}: event_id uses '{branch}', which is jagged; one number an event is needed")
    return found


@dataclass(frozen=True)
class DatasetRecipe:
    """The part of the configuration that the contract depends on, besides the recipes in the receipts."""

    run: str
    seed: int
    samples: list[str]
    classes: list[str]
    signal: str
    balance: str
    split: dict[str, float]
    event_id: list[str]

    @classmethod
    def of(cls, config: Config) -> "DatasetRecipe":
        """Taken from the whole configuration."""
        return cls(
            config.run, config.seed, list(config.samples), config.classes, config.signal, config.balance,
            config.split.model_dump(), config.event_id,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """As plain types, for a rule's `params`."""
        return asdict(self)


def require_branches(names: Collection[str], known: Collection[str], where: str) -> None:
    """Raise InputError, with the nearest names, for a branch that is not among the `known` ones of `where`."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            listed = ", ".join(list(known)[:20]) + (", ..." if len(known) > 20 else "")
            hint = f"nearest names: {', '.join(near)}" if near else f"it has {listed or 'none'}"
            raise InputError(f"{where} has no branch '{name}'; {hint}")
