"""`model:`: the network."""

import difflib
from collections.abc import Mapping
from typing import Any, get_args

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from cyclotrain.config.base import Section
from cyclotrain.config.inputs import InputSetConfig
from cyclotrain.config.networks import BUILT_IN, Need, NetworkOptions, Takes
from cyclotrain.core.python_source import ClassText, class_text, parsed, source_file

_OWN_TAKES = 'takes = {"constituents": "needed", "flat": "optional", "four_vectors": "none"}'
_KINDS = {"constituents": "sets of constituents", "flat": "flat sets", "four_vectors": "four-vectors"}


class ModelConfig(Section):
    """The network that follows the features."""

    name: str = Field(
        description=f"{', '.join(f'`{name}`' for name in BUILT_IN)}, or the import path of a torch.nn.Module, "
        "`package.module:Class` (docs/your-own-model.md)."
    )
    options: dict[str, Any] = Field(
        {}, validate_default=True, description="Keyword arguments of the network; of the built-in ones, see below."
    )

    @field_validator("name")
    @classmethod
    def _network_exists(cls, name: str) -> str:
        if name not in BUILT_IN and ":" not in name:
            near = difflib.get_close_matches(name, BUILT_IN, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"'{name}' is neither one of {', '.join(BUILT_IN)} nor 'package.module:Class'{hint}")
        return name

    @field_validator("options")
    @classmethod
    def _known_options(cls, options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """All options of a built-in network, with their defaults; those of other networks as they are given.

        Of `--config`, Snakemake gives each nested value as text.
        """
        section = BUILT_IN.get(info.data.get("name", ""))
        if section is None:
            return {name: _as_yaml(value) for name, value in options.items()}
        try:
            return section.model_validate(options).model_dump(exclude={"preset"})
        except ValidationError as error:
            raise ValueError(_told(info.data["name"], section, error)) from None

    @property
    def is_built_in(self) -> bool:
        """Whether it is a network of Cyclotrain's."""
        return self.name in BUILT_IN

    @property
    def takes(self) -> Takes:
        """What the network takes. A network of the user's says it in its class attribute `takes`.

        Raises ValueError if its module or class does not exist, or if `takes` cannot be read without running the module.
        """
        if self.is_built_in:
            return BUILT_IN[self.name].takes
        try:
            stated = self._class_text().attribute("takes")
            return Takes() if stated is None else Takes(**_checked_takes(stated))
        except (ValueError, TypeError) as error:
            reason = str(error) if str(error).startswith("model.") else f"model.name: '{self.name}': 'takes': {error}"
            raise ValueError(reason) from None

    def check_inputs(self, inputs: Mapping[str, InputSetConfig]) -> None:
        """Raise ValueError if the network cannot take these inputs, or if a network of the user's has no such option."""
        takes = self.takes
        jagged = [name for name, one in inputs.items() if one.max_length]
        flat = [name for name in inputs if name not in jagged]
        self._require("constituents", takes.constituents, jagged, "inputs with 'max_length' and 'valid'")
        self._require("flat", takes.flat, flat, "inputs without 'max_length'")
        if takes.four_vectors == "needed" and (lacking := [name for name in jagged if not inputs[name].four_vector]):
            raise ValueError(
                f"inputs.{lacking[0]}.four_vector: '{self.name}' needs the four-vector of each constituent; give expressions, "
                "such as {pt: pf_pt, eta: pf_eta, phi: pf_phi, energy: pf_energy}, or {px: ..., py: ..., pz: ..., energy: ...}"
            )
        if not self.is_built_in:
            self._check_own_options()

    def _require(self, kind: str, need: str, names: list[str], what: str) -> None:
        if need == ("none" if names else "needed"):
            others = [f"'{name}'" for name, section in BUILT_IN.items() if getattr(section.takes, kind) != need]
            reason = f"inputs.{names[0]} is one" if names else f"there are none ({what})"
            verb = "takes no" if names else "needs"
            raise ValueError(f"model.name: '{self.name}' {verb} {_KINDS[kind]}, and {reason}; use {' or '.join(others)}")

    def _class_text(self) -> ClassText:
        module, _, name = self.name.partition(":")
        path = source_file(module)
        if path is None:
            raise ValueError(f"model.name: no module '{module}' is found; add its folder to PYTHONPATH")
        try:
            return class_text(parsed(path), name)
        except ValueError as error:
            where = "" if str(path) in str(error) else f"'{module}' "
            raise ValueError(f"model.name: {where}{error}") from None

    def _check_own_options(self) -> None:
        arguments = self._class_text().arguments
        if arguments is None:
            return
        own = dict(list(arguments.items())[2:])  # behind the sets and the number of outputs
        if unknown := [name for name in self.options if name not in own]:
            raise ValueError(f"model.options: {_unknown(self.name, unknown, list(own))}")
        if missing := [name for name, is_required in own.items() if is_required and name not in self.options]:
            raise ValueError(f"model.options: '{self.name}' needs the option '{missing[0]}', which has no default")


def _as_yaml(value: Any) -> Any:
    """The number or truth value that a text stands for in YAML, also in a list; any other value as it is."""
    if isinstance(value, list):
        return [_as_yaml(one) for one in value]
    if not isinstance(value, str):
        return value
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return read if isinstance(read, int | float) else value  # bool is an int


def _checked_takes(stated: Any) -> dict[str, Any]:
    if isinstance(stated, dict) and stated.keys() <= _KINDS.keys() and all(need in get_args(Need) for need in stated.values()):
        return stated
    raise ValueError(f"must be a dictionary of these names, each 'needed', 'optional' or 'none', such as {_OWN_TAKES}")


def _unknown(network: str, options: list[str], known: list[str]) -> str:
    near = difflib.get_close_matches(options[0], known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known) or 'none'}"
    return f"'{network}' has no option {', '.join(map(repr, options))}; {hint}"


def _told(network: str, section: type[NetworkOptions], error: ValidationError) -> str:
    """All that is wrong with the options of a built-in network."""
    problems = []
    if unknown := [str(one["loc"][-1]) for one in error.errors() if one["type"] == "extra_forbidden"]:
        problems.append(_unknown(network, unknown, list(section.model_fields)))
    for one in error.errors():
        if one["type"] != "extra_forbidden":
            name, message = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
            message = f"{message[0].lower()}{message[1:]}"
            problems.append(f"'{name}': {message} (given: {one['input']!r})" if name else message)
    return "; ".join(problems)
