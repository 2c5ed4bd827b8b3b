"""The input groups of a weaver data config as sets of features."""

import os.path
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cyclotrain.expressions import Expression, ExpressionError
from cyclotrain.weaver.expressions import Expressions, WeaverError, quoted

_ENERGY = re.compile(r"(\w+_)?(energy|e|pt)(_nopuppi)?", re.IGNORECASE)
_UNLIMITED = 1e6  # far beyond any feature, and so small that no network makes it infinite


@dataclass
class _Group:
    """An input group of weaver: its variables with [subtract_by, multiply_by, clip_min, clip_max, pad_value]."""

    name: str
    length: int | None
    variables: dict[str, tuple[Any, float, float | None, float | None, float]]
    is_wrapped: bool

    @property
    def prefix(self) -> str:
        return self.name.rpartition("_")[0] or self.name

    def is_named_with(self, other: "_Group") -> bool:
        """Whether the names say that both are of one collection: `pf_points` and `pf_mask`, or `pf` and `pf_mask`."""
        return self.length == other.length and (
            self.prefix == other.prefix or self.prefix == other.name or self.name == other.prefix
        )


@dataclass
class Inputs:
    """Groups of weaver over the same constituents become one set, as a jagged branch may be in one only.

    `preprocess`: weaver's section; in the .auto.yaml that weaver writes, it has the numbers that it found.
    `sets`: the inputs of a Cyclotrain config. `groups`: for each group of weaver but masks, its set and for each of its
    variables the place there, None if left out. `notes`: what is lost and what differs.
    """

    expressions: Expressions
    preprocess: Mapping[str, Any]
    sets: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, tuple[str, list[int | None]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def convert(self, content: Mapping[str, Any]) -> None:
        """Add the groups; raises WeaverError for what no set can be made from."""
        groups = [self._group(name, of_group) for name, of_group in content.items()]
        masks = [group for group in groups if self._is_mask(group)]
        sets: list[list[_Group]] = []
        for group in (group for group in groups if group not in masks):
            joined = [of for of in sets if any(self._belong_together(group, other) for other in of)]
            sets = [of for of in sets if of not in joined] + [[*(other for of in joined for other in of), group]]
        prefixes = [of[0].prefix for of in sets]
        for of in sets:
            name = of[0].prefix if prefixes.count(of[0].prefix) == 1 else of[0].name
            of_set = [mask for mask in masks if any(mask.is_named_with(group) for group in of)]
            masks = [mask for mask in masks if mask not in of_set]
            self.sets[name] = self._set(name, of, of_set)
        for mask in masks:
            self._note(f"inputs.{mask.name}: no group with its prefix and length; left out")
        if not self.sets:
            raise WeaverError("inputs: there are none")

    def _note(self, text: str) -> None:
        self.notes.append(text)

    def _group(self, name: str, content: Mapping[str, Any]) -> _Group:
        for key in set(content) - {"length", "pad_mode", "vars"}:
            self._note(f"inputs.{name}.{key}: not a key of weaver that is known here, left out")
        if not content.get("vars"):
            raise WeaverError(f"inputs.{name}: it has no `vars`")
        is_auto = str(self.preprocess.get("method", "manual")).lower().startswith("auto")
        fitted = self.preprocess.get("params") or {}
        variables = {}
        for variable in content["vars"]:
            of, *given = variable if isinstance(variable, list) else [variable]
            defaults = ["auto" if is_auto else None, 1, -5, 5, 0]
            values = [*given, *defaults[len(given) :]]
            if of in fitted:
                values = [fitted[of].get(key) for key in ("center", "scale", "min", "max", "pad_value")]
            try:
                center, scale, low, high, pad = map(_number, values[:5])
            except ValueError as error:
                raise WeaverError(f"inputs.{name}.vars: {variable}: {error}") from None
            variables[str(of)] = (center, scale, low, high, pad)
        wraps = str(content.get("pad_mode", "constant")).lower() == "wrap"
        return _Group(name, content.get("length"), variables, wraps)

    def _is_mask(self, group: _Group) -> bool:
        return group.name.endswith("_mask") or all(self.expressions.ones_like(name) for name in group.variables)

    def _branches(self, group: _Group) -> set[str]:
        """The branches that are variables of the group themselves, and so are certainly jagged where it has a length."""
        return {name for name in group.variables if name not in self.expressions.variables}

    def _belong_together(self, one: _Group, other: _Group) -> bool:
        share = one.length == other.length and not self._branches(one).isdisjoint(self._branches(other))
        return share or one.is_named_with(other)

    def _set(self, name: str, groups: Sequence[_Group], masks: Sequence[_Group]) -> dict[str, Any]:
        features: dict[str, int] = {}
        standardise = any(values[0] == "auto" for group in groups for values in group.variables.values())
        for group in groups:
            places = [self._feature(f"inputs.{group.name}.{of}", of, group.variables[of], features) for of in group.variables]
            self.groups[group.name] = name, places
        if not features:
            raise WeaverError(f"inputs.{name}: none of its variables has a counterpart")
        made: dict[str, Any] = {"features": list(features)}
        length = groups[0].length
        if length is not None and (length > 1 or masks):
            made |= {"max_length": length, "valid": self._valid(name, groups, masks, features)}
            self._padding(name, groups)
        elif length is not None:
            self._note(f"inputs.{name}: length 1 and no mask: taken as one number an event; give max_length and valid if not")
        if len(groups) > 1:
            numbers = "; ".join(f"{group.name}: {_numbers(self.groups[group.name][1])}" for group in groups)
            self._note(
                f"inputs.{name}: one set, as a jagged branch may be in one only. Its features are, from 1 on,\n{numbers};\n"
                f"'deep_sets' sees all of them, so take out what is for other networks alone, such as four-vectors"
            )
        if not standardise:
            if any(values[0] is None for group in groups for values in group.variables.values()):
                self._note(f"inputs.{name}.clip: what has no limits in weaver is limited to ± {_UNLIMITED:g} here")
            return made | {"standardise": False, "clip": _UNLIMITED}
        limits = [
            abs(limit) for group in groups for values in group.variables.values() if values[0] == "auto"
            for limit in values[2:4] if limit is not None
        ] or [_UNLIMITED]  # fmt: skip
        self._note(
            f"inputs.{name}: `auto` is the median and the 16 % and 84 % quantiles in weaver, mean and standard deviation here,\n"
            "for all features of the set; for weaver's numbers, convert the .auto.yaml that it wrote"
        )
        if len(set(limits)) > 1:
            self._note(f"inputs.{name}.clip: one for the set, ± {max(limits):g}; weaver has its own for each variable")
        return made | {"standardise": True, "clip": float(max(limits))}

    def _feature(self, key: str, variable: str, values: tuple[Any, ...], features: dict[str, int]) -> int | None:
        """Add a variable to the features; gives its place, or None with a note where it has no counterpart."""
        center, scale, low, high, _ = values
        try:
            if center in (None, "auto"):
                text = self.expressions.feature(variable)
            else:
                text = self.expressions.scaled(variable, center, scale, low, high)
            Expression(text).check_in_graph()
        except (WeaverError, ExpressionError) as error:
            self._note(f"{key}: left out: {error}")
            return None
        return features.setdefault(text, len(features))

    def _valid(self, name: str, groups: Sequence[_Group], masks: Sequence[_Group], features: Mapping[str, int]) -> str:
        """What tells a constituent from padding: a branch of the set that is positive or not 0 for each."""
        of_masks = {variable: self.expressions.ones_like(variable) for mask in masks for variable in mask.variables}
        bare = [name for group in groups for name in group.variables if name in self._branches(group)]
        jagged = [self.expressions.renamed_branch(name) for name in (*filter(None, of_masks.values()), *bare)]
        # such as `part`, by which others are known to be jagged too
        prefix = os.path.commonprefix(jagged).rpartition("_")[0]  # noqa: RUF071  # of characters
        found = dict.fromkeys(branch for text in features for branch in Expression(text).branches)
        own = [branch for branch in found if branch in jagged or (prefix and branch.startswith(f"{prefix}_"))] or list(found)
        if energies := [branch for branch in own if _ENERGY.fullmatch(branch)]:
            conditions = [f"{quoted(energies[0])} > 0"]
        elif momenta := [(x, y) for x in own if x.endswith("px") and (y := f"{x[:-1]}y") in own]:
            conditions = [f"pt({', '.join(map(quoted, momenta[0]))}) > 0"]
        else:
            conditions = [f"{quoted(branch)} != 0" for branch in own[:4]]
        valid = " | ".join(f"({condition})" for condition in conditions) if len(conditions) > 1 else conditions[0]
        self._note(f"inputs.{name}.valid: weaver counts the constituents; here each must have '{valid}'")
        further: dict[str, int] = {}
        for variable in (variable for variable, branch in of_masks.items() if not branch):
            self._feature(f"inputs.{name}.valid", variable, (None, 1, None, None, 0), further)
        for condition in further:
            valid = f"({valid}) & (({condition}) != 0)"
            self._note(f"inputs.{name}: all features are 0 where '{condition}' is, and in weaver the mask alone")
        return valid

    def _padding(self, name: str, groups: Sequence[_Group]) -> None:
        if wrapped := [group.name for group in groups if group.is_wrapped]:
            self._note(
                f"inputs.{name}: padding is 0 here; with `pad_mode: wrap`, {', '.join(wrapped)} repeat constituents in weaver"
            )
        padded = [of for group in groups for of, values in group.variables.items() if values[4] and not group.is_wrapped]
        if padded:
            self._note(f"inputs.{name}: padding is 0 here; weaver has the pad_value of {', '.join(padded)}")


def _number(value: Any) -> Any:
    """A number as weaver takes it, of a text such as 1e-5 too, which YAML has for no number."""
    return float(value) if isinstance(value, str) and value != "auto" else value


def _numbers(places: Sequence[int | None]) -> str:
    """Places from 1 on, such as `1-4, 7`."""
    runs: list[list[int]] = []
    for place in (place + 1 for place in places if place is not None):
        if runs and runs[-1][-1] == place - 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
