"""The built-in networks, and the model: the feature layer, a network and the output layer.

A network is a torch.nn.Module `Network(sets, n_outputs, **options)` with `forward(features, masks) -> [B, n_outputs]`, or
`forward(features, masks, vectors)` if it uses four-vectors: a logit for each class, then a standardised number for each column
of the regressed quantities. `features`: by set, [B, F] or [B, L, F] with zeros where masked; `masks`: [B, L] of each jagged set,
true for a real constituent; `vectors`: [B, L, 4] of each jagged set, pt, eta, phi and energy within the limits of the module
`four_vectors`.
"""

import importlib
import inspect
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cyclotrain import config
from cyclotrain.contract import Contract, Layout
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic
from cyclotrain.networks.deep_sets import DeepSets
from cyclotrain.networks.features import FeatureLayer, Inputs
from cyclotrain.networks.mlp import MLP
from cyclotrain.networks.outputs import OutputLayer
from cyclotrain.networks.particle_net import ParticleNet
from cyclotrain.networks.particle_transformer import ParticleTransformer
from cyclotrain.networks.shapes import SetShape
from cyclotrain.networks.source import network_source
from cyclotrain.networks.transformer import Transformer

# The fast path of nn.TransformerEncoder makes nested tensors of padded sets, which fails where all sets are empty.
torch.backends.mha.set_fastpath_enabled(False)

BUILT_IN: Mapping[str, type[nn.Module]] = {
    "mlp": MLP,
    "deep_sets": DeepSets,
    "transformer": Transformer,
    "particle_transformer": ParticleTransformer,
    "particle_net": ParticleNet,
}


class Model(nn.Module):
    """Raw branches to what the network gives [B, n_outputs]; `outputs` makes the model's outputs of that."""

    def __init__(self, contract: Contract, name: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        shapes = {key: SetShape(len(s.features), s.is_jagged) for key, s in contract.layout.sets.items()}
        make_network = network_class(name)
        try:
            inspect.signature(make_network).bind(shapes, len(contract.columns), **options)
        except TypeError as error:
            raise ValueError(f"model.options: '{name}' does not take these options: {error}") from error
        network = make_network(shapes, len(contract.columns), **options)
        _check_four_vectors(name, network, contract.layout)
        self.features = FeatureLayer(contract.layout, fixed_length=is_recurrent(network))
        self.network = network
        self.outputs = OutputLayer(contract)

    def forward(self, branches: Mapping[str, Tensor]) -> Tensor:
        """Logits and standardised quantities [B, n_outputs] from branches: scalars [B, 1], jagged branches [B, L]."""
        return run_network(self.network, self.features(branches))


def run_network(network: nn.Module, inputs: Inputs) -> Tensor:
    """What a network gives for some inputs, [B, n_outputs]; it gets four-vectors if its `forward` takes them."""
    answer: Tensor = network(*inputs) if _takes_vectors(type(network)) else network(inputs.features, inputs.masks)
    return answer


def _takes_vectors(network: type[nn.Module]) -> bool:
    return "vectors" in inspect.signature(network.forward).parameters


def _check_four_vectors(name: str, network: nn.Module, layout: Layout) -> None:
    """Raise ValueError if what a network of the user's says of itself and its `forward` disagree."""
    stated = name in BUILT_IN or getattr(network, "takes", {}).get("four_vectors", "none") != "none"
    if _takes_vectors(type(network)) and not stated:
        raise ValueError(
            f"""model.name: the forward of '{name}' takes `vectors`; write takes = {{"four_vectors": "needed"}} in its class"""
        )
    if not _takes_vectors(type(network)) and any(features.four_vector for features in layout.sets.values()):
        raise ValueError(f"model.name: '{name}' says that it takes four-vectors; write forward(self, features, masks, vectors)")


def is_recurrent(network: nn.Module) -> bool:
    """Whether a network has recurrent layers: PyTorch exports them only for sets of a fixed length (its issue 191855)."""
    return any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in network.modules())


@dataclass(frozen=True)
class SavedWeights:
    """A weights.pt: the weights of a Model, the source of its network as from `network_source`, and the contract.

    parent: `run` and `weights_sha256` of the training whose weights this one began with, if any. temperature: what the logits
    are divided by; None if the training did not calibrate.
    """

    weights: Mapping[str, Tensor]
    source: Mapping[str, str]
    contract: Contract
    parent: Mapping[str, str] | None = None
    temperature: float | None = None

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        fields = {
            "weights": dict(self.weights),
            "source": dict(self.source),
            "contract": json.dumps(self.contract.to_dict()),
            "parent": dict(self.parent) if self.parent else None,
            "temperature": self.temperature,
        }
        # to an open file: given a path, torch.save writes its name, here with a process number, into the archive
        with atomic(path) as temporary, temporary.open("wb") as file:
            torch.save(fields, file)

    @classmethod
    def read(cls, path: str | Path) -> "SavedWeights":
        """Read the file; raises InputError if it is none of Cyclotrain, or of another version."""
        try:
            fields = torch.load(path, map_location="cpu", weights_only=True)
            contract = Contract.from_dict(json.loads(fields["contract"]))
            return cls(fields["weights"], fields["source"], contract, fields["parent"], fields.get("temperature"))
        except (KeyError, TypeError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise InputError(f"{path} is no weights.pt that this version of Cyclotrain wrote ({reason})") from error


def load_model(contract: Contract, model: config.ModelConfig, weights: str | Path) -> Model:
    """The trained model, in evaluation mode on the CPU; raises InputError if its network has changed since the training."""
    saved = SavedWeights.read(weights)
    before, now = saved.source, network_source(model.name)
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        raise InputError(
            f"{weights}: the network has changed since this training ({', '.join(changed)}); train again: snakemake --forcerun "
            "train, or undo the change"
        )
    trained = Model(contract, model.name, model.options)
    trained.load_state_dict(saved.weights)
    trained.outputs.temperature = saved.temperature or 1.0
    return trained.eval()


class Outputs(nn.Module):
    """The model with its output layer: it is exported, and it is the reference for the exported file."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, branches: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The outputs, in the order of `Contract.outputs`."""
        outputs: tuple[Tensor, ...] = self.model.outputs(self.model(branches))
        return outputs


def network_class(name: str) -> type[nn.Module]:
    """A built-in network by its name, or any network by its import path `package.module:Class`; else raises ValueError."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    module, _, attribute = name.partition(":")
    try:
        network = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model.name: '{name}' cannot be imported: {error}") from error
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise ValueError(f"model.name: '{name}' is not a torch.nn.Module")
    return network
