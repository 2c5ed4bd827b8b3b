"""A trained model, and what its exported files say of how it was made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclotrain import __version__, config
from cyclotrain.contract import Contract
from cyclotrain.core.files import file_sha256
from cyclotrain.core.provenance import commit, software
from cyclotrain.networks.registry import Model, SavedWeights, load_model
from cyclotrain.networks.source import network_source


@dataclass(frozen=True)
class TrainedModel:
    """What a training made: the contract, the network by name and options, and the file with its weights."""

    contract: Contract
    model: config.ModelConfig
    weights: str | Path

    def load(self) -> Model:
        """The model, in evaluation mode on the CPU."""
        return load_model(self.contract, self.model, self.weights)


def provenance(trained: TrainedModel) -> dict[str, Any]:
    """What every exported file says of how it was made, besides the contract."""
    contract, saved = trained.contract, SavedWeights.read(trained.weights)
    for_consumers = {"classes": ",".join(contract.classes)}  # those that read no JSON
    if contract.regression:
        for_consumers["columns"] = ",".join(contract.columns)
    return {
        **({"parent": saved.parent} if saved.parent else {}),
        **({"temperature": saved.temperature} if saved.temperature else {}),
        **for_consumers,
        "model": trained.model.model_dump(),
        "network_source": network_source(trained.model.name),
        "weights_sha256": file_sha256(trained.weights),
        "version": __version__,
        "commit": commit(),
        "software": software(),
    }
