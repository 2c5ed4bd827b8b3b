"""`model:`: the network."""

from typing import Any

from pydantic import Field

from cyclotrain.config.base import Section


class ModelConfig(Section):
    """The network that follows the features."""

    name: str = Field(
        description="`mlp`, `deep_sets`, or the import path of a torch.nn.Module, `package.module:Class` "
        "(docs/your-own-model.md)."
    )
    options: dict[str, Any] = Field({}, description="Keyword arguments of the network.")
