"""The input groups of a weaver data config as sets of features."""

import os.path
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cyclotrain.config.inputs import FourVectorConfig
from cyclotrain.expressions import Expression, ExpressionError
from cyclotrain.weaver.expressions import Expressions, WeaverError, quoted

_ENERGY = re.compile(r"(\w+_)?(energy|e|pt)(_nopuppi)?", re.IGNORECASE)
# the components of a four-vector, by the ends of the names of its variables
_COMPONENTS = {
    "pt": "pt", "eta": "eta", "phi": "phi", "px": "px", "py": "py", "pz": "pz", "energy": "energy", "e": "energy", "mass": "mass",
    "m": "mass",
}  # fmt: skip
_UNLIMITED = 1e6  # far beyond any feature, but small enough that no network makes it infinite


@dataclass
class _Group:
    """An input group of weaver; of each variable [subtract_by, multiply_by, clip_min, clip_max, pad_value]."""

    name: str
    length: int | None
    variables: dict[str, tuple[Any, float, float | None, float | None, float]]
    is_wrapped: bool

    @property
    def prefix(self) -> str:
        return self.name.rpartition("_")[0] or self.name

    def is_named_with(self, other: "_Group") -> bool:
        """Whether the names show that both belong to one collection: `pf_points` and `pf_mask`, or `pf` and `pf_mask`."""
        return self.length == other.length and (
            self.prefix == other.prefix or self.prefix == other.name or self.name == other.prefix
        )


@dataclass
class Inputs:
    """Groups of weaver over the same constituents become one set, because a jagged branch may be in only one.

    `preprocess`: weaver's section; in the .auto.yaml that weaver writes, it has the numbers that weaver fitted.
    `sets`: the inputs of a Cyclotrain config. `groups`: for each group of weaver with features, the name of its set and the
    place of each of its variables there, None if left out. `vectors`: for each group that is a four-vector, the name of its set.
    `notes`: what is lost and what differs.
    """

    expressions: Expressions
    preprocess: Mapping[str, Any]
    sets: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, tuple[str, list[int | None]]] = field(default_factory=dict)
    vectors: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def convert(self, inputs: Mapping[str, Any]) -> None:
        """Convert weaver's `inputs`; raises WeaverError if no set can be made from a group."""
        groups = [self._group(name, section) for name, section in inputs.items()]
        masks = [group for group in groups if self._is_mask(group)]
        sets: list[list[_Group]] = []
        for group in (group for group in groups if group not in masks):
            joined = [members for members in sets if any(self._belong_together(group, member) for member in members)]
            others = [members for members in sets if members not in joined]
            sets = [*others, [*(member for members in joined for member in members), group]]
        prefixes = [members[0].prefix for members in sets]
        for members in sets:
            first = members[0]
            name = first.prefix if prefixes.count(first.prefix) == 1 else first.name
            own_masks = [mask for mask in masks if any(mask.is_named_with(group) for group in members)]
            masks = [mask for mask in masks if mask not in own_masks]
            self.sets[name] = self._set(name, members, own_masks)
        for mask in masks:
            self._note(f"inputs.{mask.name}: no group with its prefix and length; left out")
        if not self.sets:
            raise WeaverError("inputs: there are none")

    def _note(self, text: str) -> None:
        self.notes.append(text)

    def _group(self, name: str, section: Mapping[str, Any]) -> _Group:
        for key in set(section) - {"length", "pad_mode", "vars"}:
            self._note(f"inputs.{name}.{key}: not a key of weaver that this converter knows; left out")
        if not section.get("vars"):
            raise WeaverError(f"inputs.{name}: it has no `vars`")
        is_auto = str(self.preprocess.get("method", "manual")).lower().startswith("auto")
        fitted = self.preprocess.get("params") or {}
        variables = {}
        for variable in section["vars"]:
            label, *given = variable if isinstance(variable, list) else [variable]
            defaults = ["auto" if is_auto else None, 1, -5, 5, 0]
            values = [*given, *defaults[len(given) :]]
            if label in fitted:
                values = [fitted[label].get(key) for key in ("center", "scale", "min", "max", "pad_value")]
            try:
                center, scale, low, high, pad = map(_number, values[:5])
            except ValueError as error:
                raise WeaverError(f"inputs.{name}.vars: {variable}: {error}") from None
            variables[str(label)] = (center, scale, low, high, pad)
        is_wrapped = str(section.get("pad_mode", "constant")).lower() == "wrap"
        return _Group(name, section.get("length"), variables, is_wrapped)

    def _is_mask(self, group: _Group) -> bool:
        return group.name.endswith("_mask") or all(self.expressions.ones_like(name) for name in group.variables)

    def _branches(self, group: _Group) -> set[str]:
        """The variables of the group that are branches; where the group has a length, they are certainly jagged."""
        return {name for name in group.variables if name not in self.expressions.variables}

    def _belong_together(self, one: _Group, other: _Group) -> bool:
        share = one.length == other.length and not self._branches(one).isdisjoint(self._branches(other))
        return share or one.is_named_with(other)

    def _set(self, name: str, groups: Sequence[_Group], masks: Sequence[_Group]) -> dict[str, Any]:
        features: dict[str, int] = {}
        groups, four_vector = self._without_four_vector(name, groups)
        standardise = any(values[0] == "auto" for group in groups for values in group.variables.values())
        for group in groups:
            places = [
                self._feature(f"inputs.{group.name}.{variable}", variable, values=values, features=features)
                for variable, values in group.variables.items()
            ]
            self.groups[group.name] = name, places
        if not features:
            raise WeaverError(f"inputs.{name}: none of its variables has a counterpart")
        section: dict[str, Any] = {"features": list(features)}
        length = groups[0].length
        if length is not None and (length > 1 or masks):
            texts = [*features, *four_vector.values()]
            section |= {"max_length": length, "valid": self._valid(name, groups, masks=masks, features=texts)}
            section |= {"four_vector": four_vector} if four_vector else {}
            self._padding(name, groups)
        elif length is not None:
            self._note(f"inputs.{name}: length 1 and no mask: taken as one number for each event; else give max_length and valid")
        if len(groups) > 1:
            numbers = "; ".join(f"{group.name}: {_numbers(self.groups[group.name][1])}" for group in groups)
            self._note(
                f"inputs.{name}: one set, because a jagged branch may be in only one. Its features, counted from 1:\n{numbers};\n"
                "the network uses all of them, so remove what is no feature, such as the coordinates of ParticleNet"
            )
        if not standardise:
            if any(values[0] is None for group in groups for values in group.variables.values()):
                self._note(f"inputs.{name}.clip: features without limits in weaver are limited to ± {_UNLIMITED:g} here")
            return section | {"standardise": False, "clip": _UNLIMITED}
        limits = [
            abs(limit) for group in groups for values in group.variables.values() if values[0] == "auto"
            for limit in values[2:4] if limit is not None
        ] or [_UNLIMITED]  # fmt: skip
        self._note(
            f"inputs.{name}: `auto` is the median and the 16 % and 84 % quantiles in weaver, mean and standard deviation here,\n"
            "for all features of the set; for weaver's numbers, convert the .auto.yaml that it wrote"
        )
        if len(set(limits)) > 1:
            self._note(f"inputs.{name}.clip: ± {max(limits):g} for the whole set; weaver has limits for each variable")
        return section | {"standardise": True, "clip": float(max(limits))}

    def _without_four_vector(self, name: str, groups: Sequence[_Group]) -> tuple[Sequence[_Group], dict[str, str]]:
        """The groups with features, and the four-vector of the first group that is one, by component."""
        for group in groups if len(groups) > 1 else ():
            components = self._four_vector(group)
            if components:
                self.vectors[group.name] = name
                self._note(
                    f"inputs.{name}.four_vector: {group.name}, for networks that use four-vectors; it is no longer a feature"
                )
                return [other for other in groups if other is not group], components
        return groups, {}

    def _four_vector(self, group: _Group) -> dict[str, str]:
        """The components of a group such as `pf_vectors: [px, py, pz, energy]`; empty if it is no complete four-vector."""
        components = [_COMPONENTS.get(variable.lower().rpartition("_")[2]) for variable in group.variables]
        if not group.name.endswith("vectors") or any(values[0] is not None for values in group.variables.values()):
            return {}
        try:
            texts = [self.expressions.feature(variable) for variable in group.variables]
            four_vector = {component: text for component, text in zip(components, texts, strict=True) if component}
            for text in four_vector.values():
                Expression(text).check_in_graph()
            FourVectorConfig(**four_vector)
        except (WeaverError, ExpressionError, ValidationError):
            return {}
        return four_vector if len(four_vector) == len(group.variables) else {}

    def _feature(self, key: str, variable: str, *, values: tuple[Any, ...], features: dict[str, int]) -> int | None:
        """Add a variable to `features` and return its place; None, with a note, if it has no counterpart."""
        center, scale, low, high, _ = values
        try:
            if center in (None, "auto"):
                text = self.expressions.feature(variable)
            else:
                text = self.expressions.scaled(variable, center=center, scale=scale, low=low, high=high)
            Expression(text).check_in_graph()
        except (WeaverError, ExpressionError) as error:
            self._note(f"{key}: left out: {error}")
            return None
        return features.setdefault(text, len(features))

    def _valid(self, name: str, groups: Sequence[_Group], *, masks: Sequence[_Group], features: Sequence[str]) -> str:
        """The condition that separates constituents from padding: a branch of the set is positive, or not 0."""
        masked = {variable: self.expressions.ones_like(variable) for mask in masks for variable in mask.variables}
        bare = [name for group in groups for name in group.variables if name in self._branches(group)]
        jagged = [self.expressions.renamed_branch(name) for name in (*filter(None, masked.values()), *bare)]
        # such as `part`: other branches with this prefix are jagged too
        prefix = os.path.commonprefix(jagged).rpartition("_")[0]  # noqa: RUF071  # common characters, not folders
        used = dict.fromkeys(branch for text in features for branch in Expression(text).branches)
        own = [branch for branch in used if branch in jagged or (prefix and branch.startswith(f"{prefix}_"))] or list(used)
        if energies := [branch for branch in own if _ENERGY.fullmatch(branch)]:
            conditions = [f"{quoted(energies[0])} > 0"]
        elif momenta := [(x, y) for x in own if x.endswith("px") and (y := f"{x[:-1]}y") in own]:
            conditions = [f"pt({', '.join(map(quoted, momenta[0]))}) > 0"]
        else:
            conditions = [f"{quoted(branch)} != 0" for branch in own[:4]]
        valid = " | ".join(f"({condition})" for condition in conditions) if len(conditions) > 1 else conditions[0]
        self._note(f"inputs.{name}.valid: weaver counts the constituents; here a constituent is real where '{valid}'")
        further: dict[str, int] = {}
        for variable in (variable for variable, branch in masked.items() if not branch):
            self._feature(f"inputs.{name}.valid", variable, values=(None, 1, None, None, 0), features=further)
        for condition in further:
            valid = f"({valid}) & (({condition}) != 0)"
            self._note(f"inputs.{name}: where '{condition}' is 0, all features are 0 here, and in weaver only the mask")
        return valid

    def _padding(self, name: str, groups: Sequence[_Group]) -> None:
        if wrapped := [group.name for group in groups if group.is_wrapped]:
            self._note(
                f"inputs.{name}: padding is 0 here; in weaver, {', '.join(wrapped)} repeat constituents (`pad_mode: wrap`)"
            )
        padded = [
            variable for group in groups for variable, values in group.variables.items() if values[4] and not group.is_wrapped
        ]
        if padded:
            self._note(f"inputs.{name}: padding is 0 here; in weaver it is the pad_value of {', '.join(padded)}")


def _number(value: Any) -> Any:
    """A number as weaver reads it; also from a text such as 1e-5, which YAML does not read as a number."""
    return float(value) if isinstance(value, str) and value != "auto" else value


def _numbers(places: Sequence[int | None]) -> str:
    """Places, counted from 1, such as `1-4, 7`."""
    runs: list[list[int]] = []
    for place in (place + 1 for place in places if place is not None):
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
