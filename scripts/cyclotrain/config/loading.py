"""From a mapping, as YAML gives it, to the checked configuration, with errors that name the key; and all keys."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from cyclotrain.config.base import ConfigError
from cyclotrain.config.config import Config


def load(raw: Mapping[str, Any]) -> Config:
    """The checked configuration; raises ConfigError, which names every wrong key and how to correct it."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise ConfigError("the configuration cannot be used:\n" + "\n".join(f"  - {p}" for p in problems)) from None


def _describe(problem: Any) -> str:
    location = problem["loc"]
    key = ".".join(str(part) for part in location if part != "[key]") or "(top level)"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{key}: this key is required; see config/README.md"
    message = problem["msg"].removeprefix("Value error, ")
    if location == () and re.match(r"[a-z_]+(\.\S+)?: ", message):
        return message  # a check across keys names the key itself
    given = "" if problem["type"] == "value_error" else f" (given: {problem['input']!r})"
    return f"{key}: {message[0].lower()}{message[1:]}{given}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Config
    for part in location:
        if part in model.model_fields:  # names that the user chooses are not fields
            model = inner_model(model.model_fields[part].annotation)
    return list(model.model_fields)


def inner_model(annotation: Any) -> Any:
    """The section class in an annotation such as `dict[Name, SampleConfig]` or `SimulateConfig | None`, else None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for part in getattr(annotation, "__args__", ()) if (inner := inner_model(part))), None)


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its pydantic field, depth first; `<name>` stands for a name that the user chooses."""
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key, info
        if inner := inner_model(info.annotation):
            separator = ".<name>." if str(info.annotation).startswith("dict") else "."
            yield from keys(inner, f"{key}{separator}")
