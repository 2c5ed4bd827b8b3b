"""Optimisers: PyTorch's AdamW, and others by their names in the package pytorch-optimizer."""

import inspect
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cyclotrain.config import TrainingConfig

# set by keys of the config, or by what calls the optimiser
_TAKEN = {"self", "params", "kwargs", "lr", "weight_decay", "model", "optimizer_name"}


def make_optimizer(network: nn.Module, training: TrainingConfig) -> Optimizer:
    """The optimiser of all parameters that are trained.

    Muon is for the matrices of hidden layers. The library gives all other parameters, such as biases and those with 'head' in
    their names, to AdamW with a rate of its own, `adamw_lr`. Raises ValueError if the optimiser lacks an option.
    """
    options = training.optimizer_options
    shared: dict[str, Any] = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if training.optimizer == "adamw":
        check_options(torch.optim.AdamW, training)
        # one pass over the memory of each parameter; it unscales gradients itself, before Lightning could clip those of float16
        is_fused = training.precision != "float16"
        return torch.optim.AdamW(parameters, **{"fused": is_fused, **shared, **options})
    # only here, because the import takes half a second
    import pytorch_optimizer
    from pytorch_optimizer.optimizer import muon

    optimizer_class = pytorch_optimizer.load_optimizer(training.optimizer)
    check_options(optimizer_class, training)
    if training.optimizer == "muon":
        return muon.prepare_muon_parameters(network, "muon", **shared, **options)
    return optimizer_class(parameters, **shared, **options)


def check_options(optimizer_class: Any, training: TrainingConfig) -> None:
    """Raise ValueError if `training.optimizer_options` has an option that the optimiser lacks."""
    known = sorted(set(inspect.signature(optimizer_class.__init__).parameters) - _TAKEN)
    if unknown := sorted(set(training.optimizer_options) - set(known)):
        raise ValueError(
            f"training.optimizer_options.{unknown[0]}: '{training.optimizer}' has no such option; it has {', '.join(known)}"
        )
