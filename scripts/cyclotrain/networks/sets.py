from collections.abc import Mapping

from torch import nn


class SetModules(nn.ModuleDict):
    """A module for each set of features, by the name of the set. A ModuleDict refuses `forward`, `train`, `type` and others."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(modules)
        for name, module in modules.items():
            self.add_module(_key(name), module)

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(_key(key))


def _key(name: str) -> str:
    """The attribute for a set; no set has a name with ':'."""
    return f"set:{name}" if hasattr(nn.ModuleDict, name) or name in vars(nn.Module()) else name
