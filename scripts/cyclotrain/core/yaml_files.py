"""YAML files in which each key stands once. PyYAML keeps the last of several values without a word."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cyclotrain.core.errors import InputError

_MERGE = "tag:yaml.org,2002:merge"  # `<<`, which may repeat


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file; raises InputError as `require_distinct_keys`, and yaml.YAMLError for other text."""
    require_distinct_keys(path)
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def require_distinct_keys(path: str | Path) -> None:
    """Raise InputError, with the lines, for keys that a mapping of a YAML or JSON file has twice."""
    text = Path(path).read_text(encoding="utf-8").replace("\t", " ")  # tabs may indent JSON, not YAML
    repeated = [
        f"'{key}' in lines {first} and {second}"
        for key, first, second in _repeated(yaml.compose(text, Loader=yaml.SafeLoader), "", set())
    ]
    if repeated:
        raise InputError(
            f"{path}: keys are given twice: {', '.join(repeated)}. Only the last of each would count; rename or remove the others"
        )


def _repeated(node: yaml.Node | None, place: str, visited: set[int]) -> Iterator[tuple[str, int, int]]:
    """Each repeated key below a node, with both lines. An alias is the node of its anchor and is visited once."""
    if id(node) in visited:
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, part in enumerate(node.value):
            yield from _repeated(part, f"{place}{index}.", visited)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            name, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if name in lines and key.tag != _MERGE:
                yield f"{place}{key.value}", lines[name], line
            lines.setdefault(name, line)
            yield from _repeated(value, f"{place}{key.value}.", visited)
