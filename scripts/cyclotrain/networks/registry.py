"""The built-in networks, and the model: the feature layer followed by a network.

A network is a torch.nn.Module `Network(sets, n_classes, **options)` with
`forward(features, masks) -> logits [B, n_classes]`. `features`: by set, [B, F] or [B, L, F] with zeros where masked;
`masks`: [B, L] of each jagged set, true for a real constituent.
"""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic
from cyclotrain.networks.deep_sets import DeepSets
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.networks.mlp import MLP
from cyclotrain.networks.shapes import SetShape
from cyclotrain.networks.source import module_of, network_source

# The fast path of nn.TransformerEncoder makes nested tensors of padded sets, which fails where all sets are empty.
torch.backends.mha.set_fastpath_enabled(False)

BUILT_IN: Mapping[str, type[nn.Module]] = {"mlp": MLP, "deep_sets": DeepSets}


class Classifier(nn.Module):
    """Raw branches to logits [B, n_classes]: the feature layer, then the network."""

    def __init__(self, contract: Contract, name: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        shapes = {key: SetShape(len(s.features), s.is_jagged) for key, s in contract.layout.sets.items()}
        make_network = network_class(name)
        try:
            inspect.signature(make_network).bind(shapes, len(contract.classes), **options)
        except TypeError as error:
            raise ValueError(f"model.options: '{name}' does not take these options: {error}") from error
        network = make_network(shapes, len(contract.classes), **options)
        self.features = FeatureLayer(contract.layout, fixed_length=is_recurrent(network))
        self.network = network

    def forward(self, branches: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, n_classes] from branches: scalars [B, 1], jagged branches [B, L]."""
        features, masks = self.features(branches)
        logits: Tensor = self.network(features, masks)
        return logits


def is_recurrent(network: nn.Module) -> bool:
    """Whether a network has recurrent layers: PyTorch exports them only for sets of a fixed length (its issue 191855)."""
    return any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in network.modules())


def save_weights(weights: Mapping[str, Tensor], source: Mapping[str, str], path: str | Path) -> None:
    """Write the weights of a Classifier with the source of its network, as from `network_source`."""
    # to an open file: given a path, torch.save writes its name, here with a process number, into the archive
    with atomic(path) as temporary, temporary.open("wb") as file:
        torch.save({"weights": dict(weights), "source": dict(source)}, file)


def load_model(contract: Contract, model: config.ModelConfig, weights: str | Path) -> Classifier:
    """The trained model, in evaluation mode on the CPU; raises InputError if its network has changed since the training."""
    saved = torch.load(weights, map_location="cpu", weights_only=True)
    before, now = saved["source"], network_source(model.name)
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        raise InputError(
            f"{weights}: the network has changed since this training ({', '.join(changed)}); train again: snakemake --forcerun "
            "train, or undo the change"
        )
    classifier = Classifier(contract, model.name, model.options)
    classifier.load_state_dict(saved["weights"])
    return classifier.eval()


class Probabilities(nn.Module):
    """The model with softmax: it is exported, and it is the reference for the exported file."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, branches: Mapping[str, Tensor]) -> Tensor:
        """Probabilities [B, n_classes]."""
        return torch.softmax(self.model(branches), dim=-1)


def network_class(name: str) -> type[nn.Module]:
    """A built-in network by its name, or any network by its import path `package.module:Class`; else raises ValueError."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, attribute = module_of(name)
    try:
        network = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model.name: '{name}' cannot be imported: {error}") from error
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise ValueError(f"model.name: '{name}' is not a torch.nn.Module")
    return network
