"""`model:`: the network."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from cyclotrain.config.base import Section

# The built-in networks: whether each needs constituents. Their classes are in cyclotrain.networks.registry, which needs PyTorch.
NEEDS_CONSTITUENTS: Mapping[str, bool] = {"mlp": False, "deep_sets": True}


class ModelConfig(Section):
    """The network that follows the features."""

    name: str = Field(
        description=f"{', '.join(f'`{name}`' for name in NEEDS_CONSTITUENTS)}, or the import path of a torch.nn.Module, "
        "`package.module:Class` (docs/your-own-model.md)."
    )
    options: dict[str, Any] = Field({}, description="Keyword arguments of the network.")

    @field_validator("name")
    @classmethod
    def _network_exists(cls, name: str) -> str:
        if name not in NEEDS_CONSTITUENTS and ":" not in name:
            raise ValueError(f"'{name}' is neither one of {', '.join(NEEDS_CONSTITUENTS)} nor 'package.module:Class'")
        return name

    def check_inputs(self, jagged: Sequence[str]) -> None:
        """Raise ValueError if a built-in network cannot take the inputs; `jagged`: the sets that have constituents."""
        if (needs_constituents := NEEDS_CONSTITUENTS.get(self.name)) is None or needs_constituents == bool(jagged):
            return
        others = " or ".join(f"'{name}'" for name, needs in NEEDS_CONSTITUENTS.items() if needs != needs_constituents)
        if needs_constituents:
            raise ValueError(f"model.name: '{self.name}' needs constituents (inputs with 'max_length' and 'valid'); use {others}")
        raise ValueError(f"model.name: '{self.name}' takes flat features, and inputs.{jagged[0]} has constituents; use {others}")
