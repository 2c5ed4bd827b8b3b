"""A config as MLflow's parameters: a row a value, so that the UI compares runs row by row."""

import re
from collections.abc import Mapping
from typing import Any

_LENGTH = 6000  # MLflow's limit of a value
# what says where a run is kept and what else it does, but does not make it another model
_LEFT_OUT = ("run", "description", "licence", "tracking", "report", "score")


def parameters(config: Mapping[str, Any]) -> dict[str, str]:
    """The values of a config by their keys, without those that are not set; a list is one value.

    An entry whose name MLflow takes for no key, such as an expression or a pattern, is in the value of the mapping.
    """
    rows = _flat({key: value for key, value in config.items() if key not in _LEFT_OUT})
    return {key: text if len(text) <= _LENGTH else f"{text[: _LENGTH - 5]} ..." for key, text in rows.items()}


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    rows: dict[str, str] = {}
    others = []
    for key, value in config.items():
        name = f"{prefix}{key}"
        if value in (None, "", [], {}):
            continue
        if not re.fullmatch(r"[\w.:/ -]+", str(key), re.ASCII):
            others.append(f"{key}: {_text(value)}")
        elif isinstance(value, Mapping):
            rows |= _flat(value, f"{name}.")
        else:
            rows[name] = _text(value)
    if others:
        rows[prefix.removesuffix(".")] = "; ".join(others)
    return rows


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
