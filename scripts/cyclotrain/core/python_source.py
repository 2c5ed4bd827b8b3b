"""Python modules as text: where they lie, and what a class in one says of itself, without importing it."""

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def source_file(module: str) -> Path | None:
    """The Python file of a module; None for a missing module, a folder without __init__.py, and compiled code."""
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file; raises ValueError, with the line, if its text is not Python."""
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None


def _spec(module: str) -> ModuleSpec | None:
    """As importlib's find_spec, which would import the packages of a module."""
    top, *inner = module.split(".")
    try:
        spec = find_spec(top)
    except ValueError:  # a module without a spec, such as __main__
        return None
    name = top
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, spec.submodule_search_locations)
    return spec


@dataclass(frozen=True)
class ClassText:
    """A class as its module states it, with the bases that the same module defines.

    `arguments`: the names that `__init__` takes after `self`, each with whether it must be given; None if the module does not
    say, because `__init__` is inherited from elsewhere, takes `**kwargs`, or the class is imported or made by a call.
    """

    definitions: tuple[ast.ClassDef, ...]

    def attribute(self, name: str) -> Any:
        """The value of a class attribute that is written as a literal, None without it.

        Raises ValueError if it is no literal.
        """
        for definition in self.definitions:
            for node in definition.body:
                match node:
                    case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                        return _literal(value)
                    case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                        return _literal(value)
        return None

    @property
    def arguments(self) -> dict[str, bool] | None:
        """See the class."""
        for definition in self.definitions:
            for node in definition.body:
                if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                    return None if node.args.kwarg or node.args.vararg else dict(_arguments(node.args))
        return None


def _literal(value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        raise ValueError(
            f"must be written as a literal, because it is read without running the module: {ast.unparse(value)}"
        ) from None


def _arguments(arguments: ast.arguments) -> Iterator[tuple[str, bool]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    for index, argument in enumerate(positional[1:], start=1):
        yield argument.arg, index < required
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, default is None


def class_text(tree: ast.Module, name: str) -> ClassText:
    """A class of a module; empty if the module imports or computes it. Raises ValueError, with the nearest name, without one."""
    definitions = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in definitions:
        _require(name, tree)
    classes, waiting = [], [name]
    while waiting:
        definition = definitions.get(waiting.pop(0))
        if definition and definition not in classes:
            classes.append(definition)
            waiting += [base.id for base in definition.bases if isinstance(base, ast.Name)]
    return ClassText(tuple(classes))


def _require(name: str, tree: ast.Module) -> None:
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=other) | ast.FunctionDef(name=other) | ast.Name(id=other):
                names.add(other)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
    if name not in names and "*" not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ValueError(f"has no class '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
