"""The source of a network: the files whose change makes another network. Found without importing them, or PyTorch.

These are the module of the network and the modules that it imports, as long as they are the user's: not those of Python, nor
installed packages other than the network's own. Of Cyclotrain, they are the built-in networks and the layers before and after
a network.
"""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from cyclotrain.config.networks import BUILT_IN
from cyclotrain.core.files import file_sha256
from cyclotrain.core.python_source import parsed, source_file

_BUILT_IN = __name__.rpartition(".")[0]
_LAYERS = (f"{_BUILT_IN}.features", f"{_BUILT_IN}.outputs")  # the first and the last of every model
_INSTALLED = {"site-packages", "dist-packages"}
_PYTHON = Path(sysconfig.get_path("stdlib"))


def network_source(name: str) -> dict[str, str]:
    """The SHA-256 of each source file of a network, by module; `name`: as in the config.

    Raises ValueError if the module does not exist, or if the text of one is not Python.
    """
    module = f"{_BUILT_IN}.{name}" if name in BUILT_IN else name.partition(":")[0]
    package = module.partition(".")[0]
    prefixes = [_BUILT_IN] if package == _BUILT_IN.partition(".")[0] else [_BUILT_IN, package]
    trees: dict[str, ast.Module] = {}
    waiting = [module, *_LAYERS]
    while waiting:
        current = waiting.pop()
        if current not in trees and (path := source_file(current)):
            trees[current] = parsed(path)
            waiting += [name for name in _imported(current, trees[current], path) if _is_own(name, prefixes)]
    return {name: file_sha256(source_file(name)) for name in sorted(trees)}  # type: ignore[arg-type]  # all have files


def _is_own(module: str, prefixes: list[str]) -> bool:
    """Whether a module belongs to the network: to a package in `prefixes`, or to no installed package at all."""
    if any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes):
        return True
    path = source_file(module)
    is_ours = module.partition(".")[0] == _BUILT_IN.partition(".")[0]
    return path is not None and not is_ours and not _INSTALLED & set(path.parts) and not path.is_relative_to(_PYTHON)


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
