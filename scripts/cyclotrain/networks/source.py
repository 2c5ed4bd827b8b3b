"""The source of a network: the files whose change makes another network. Found without importing them, or PyTorch.

These are the module of the network and the modules that it imports, as long as they are the user's: not those of Python, nor
installed packages other than the network's own. Of Cyclotrain, they are the built-in networks and the feature layer.
"""

import ast
import difflib
import sysconfig
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from cyclotrain.config.model import NEEDS_CONSTITUENTS
from cyclotrain.core.files import file_sha256

_BUILT_IN = __name__.rpartition(".")[0]
_FEATURES = f"{_BUILT_IN}.features"  # the first layer of every model
_INSTALLED = {"site-packages", "dist-packages"}
_PYTHON = Path(sysconfig.get_path("stdlib"))


def network_source(name: str) -> dict[str, str]:
    """The SHA-256 of each source file of a network, by module; `name`: as in the config.

    Raises ValueError if the module or the class does not exist, or if its text is not Python.
    """
    module, attribute = module_of(name)
    if _file(module) is None:
        raise ValueError(f"model.name: no module '{module}' is found; add its folder to PYTHONPATH")
    package = module.partition(".")[0]
    prefixes = [_BUILT_IN] if package == _BUILT_IN.partition(".")[0] else [_BUILT_IN, package]
    trees: dict[str, ast.Module] = {}
    waiting = [module, _FEATURES]
    while waiting:
        current = waiting.pop()
        if current not in trees and (path := _file(current)):
            trees[current] = _parsed(path)
            waiting += [name for name in _imported(current, trees[current], path) if _is_own(name, prefixes)]
    if attribute:
        _require(attribute, trees[module], module)
    return {name: file_sha256(_file(name)) for name in sorted(trees)}  # type: ignore[arg-type]  # all have files


def module_of(name: str) -> tuple[str, str]:
    """The module and the class of a network, as in the config; no class for a built-in one, whose module has its name."""
    if name in NEEDS_CONSTITUENTS:
        return f"{_BUILT_IN}.{name}", ""
    module, _, attribute = name.partition(":")
    return module, attribute


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


def _file(module: str) -> Path | None:
    """The Python file of a module; None for a missing module, a folder without __init__.py, and compiled code."""
    spec = _spec(module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _is_own(module: str, prefixes: list[str]) -> bool:
    """Whether a module belongs to the network: to a package in `prefixes`, or to no installed package at all."""
    if any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes):
        return True
    path = _file(module)
    is_ours = module.partition(".")[0] == _BUILT_IN.partition(".")[0]
    return path is not None and not is_ours and not _INSTALLED & set(path.parts) and not path.is_relative_to(_PYTHON)


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ValueError(f"model.name: {path}, line {error.lineno}: {error.msg}") from None


def _imported(module: str, tree: ast.Module, path: Path) -> Iterator[str]:
    """The modules that a module may import, with their packages, which Python imports too."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: end + 1]) for end in range(len(parts)))


def _require(attribute: str, tree: ast.Module, module: str) -> None:
    """Raise ValueError if the module does not define or import the class."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Name(id=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {(alias.asname or alias.name).partition(".")[0] for alias in aliases}
    if attribute not in names and "*" not in names:
        near = difflib.get_close_matches(attribute, names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"model.name: '{module}' has no class '{attribute}'{hint}")
