"""Begin with the weights of another training: which layers take them, which keep them, and how fast the others learn."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.core.logs import SHOW
from cyclotrain.networks.registry import Model, SavedWeights
from cyclotrain.networks.source import network_source

_log = logging.getLogger(__name__)


def begin_with_parent(
    child: Model, parent: str | Path, *, contract: Contract, model: config.ModelConfig, training: config.TrainingConfig
) -> dict[str, str]:
    """Load the parent's weights into the network and freeze layers, as `training` says; gives the provenance of the parent.

    A weight of another shape stays as it is. Raises InputError if a pattern fits no weight, if no weight can be loaded, or if
    none is left to train.
    """
    saved = SavedWeights.read(parent)
    prefix = "network."
    theirs = {name.removeprefix(prefix): value for name, value in saved.weights.items() if name.startswith(prefix)}
    ours = child.network.state_dict()
    for key, patterns in (("load", training.load), ("freeze", training.freeze)):
        require_fit(key, patterns, ours)
    loaded, skipped = [], dict[str, str]()
    for name, value in ours.items():
        if not fits(name, training.load):
            skipped[name] = "not in 'load'"
        elif name not in theirs:
            skipped[name] = "the parent has none"
        elif theirs[name].shape != value.shape:
            skipped[name] = f"{list(value.shape)} here, {list(theirs[name].shape)} in the parent"
        else:
            loaded.append(name)
    if not loaded:
        raise InputError(
            f"training.initial_weights: no weight of '{model.name}' can be taken from the parent:"
            + "".join(f"\n  {name}: {reason}" for name, reason in skipped.items())
            + "\nGive model.name and model.options of the parent"
        )
    child.network.load_state_dict({name: theirs[name] for name in loaded}, strict=False)
    frozen = [name for name, _ in child.network.named_parameters() if fits(name, training.freeze)]
    for name in frozen:
        if name not in loaded:
            raise InputError(f"training.freeze: '{name}' would stay at random values, because it is not loaded: {skipped[name]}")
        child.network.get_parameter(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in child.parameters()):
        raise InputError("training.freeze: no weight is left to train; leave out the head, for example")
    _tell(saved, loaded=loaded, skipped=skipped, frozen=frozen)
    unused = [name for name in theirs if name not in ours]
    _log.info("of the parent, not used: %s", ", ".join(unused) or "nothing")
    _warn(saved, contract, model, loaded)
    return {"run": saved.contract.run, "weights_sha256": file_sha256(parent)}


def _tell(saved: SavedWeights, *, loaded: Sequence[str], skipped: Mapping[str, str], frozen: Sequence[str]) -> None:
    reasons = [f"{name}: {reason}" for name, reason in skipped.items()]
    _log.info(
        "begins with %d weights of run '%s' (%d frozen); %d begin anew%s", len(loaded), saved.contract.run, len(frozen),
        len(skipped), f": {'; '.join(reasons[:4])}{' ...' if len(reasons) > 4 else ''}" if reasons else "", extra=SHOW,
    )  # fmt: skip
    for name in loaded:
        _log.info("loaded %s%s", name, " (frozen)" if name in frozen else "")
    for reason in reasons:
        _log.info("not loaded: %s", reason)


def _warn(saved: SavedWeights, contract: Contract, model: config.ModelConfig, loaded: Sequence[str]) -> None:
    """Of what may be meant, but need not."""
    before, now = saved.source, network_source(model.name)
    if changed := sorted(name for name in {*before, *now} if before.get(name) != now.get(name)):
        _log.warning("the source of the network has changed since the parent's training: %s", ", ".join(changed))
    head = loaded[-1].rpartition(".")[0]
    if contract.classes != saved.contract.classes and len(contract.classes) == len(saved.contract.classes):
        _log.warning(
            "the classes are %s, and %s in the parent; the head was loaded because its shape fits. Leave it out of training.load "
            "if these are other classes (the last layer is '%s')",
            ", ".join(contract.classes), ", ".join(saved.contract.classes), head,
        )  # fmt: skip
    scales, before_scales = (
        {quantity.name: (quantity.offset, quantity.scale) for quantity in one.regression} for one in (contract, saved.contract)
    )
    for name in scales.keys() & before_scales.keys():
        if scales[name] != before_scales[name]:
            _log.warning(
                "regression.%s: offset and scale are %.6g and %.6g, and %.6g and %.6g in the parent. What was loaded gives other "
                "values until it has adapted; leave the head out of training.load to train it anew (the last layer is '%s')",
                name, *scales[name], *before_scales[name], head,
            )  # fmt: skip


def with_learning_rate_factors(optimizer: Optimizer, network: nn.Module, factors: Mapping[str, float]) -> Optimizer:
    """Divide the groups of an optimiser by the factors on their learning rates; raises InputError for a pattern without weights.

    network: the one whose names the patterns are for.
    """
    if not factors:
        return optimizer
    require_fit("learning_rate_factors", list(factors), dict(network.named_parameters()))
    factor_of = {
        id(parameter): next((factor for pattern, factor in factors.items() if fnmatchcase(name, pattern)), 1.0)
        for name, parameter in network.named_parameters()
    }
    groups: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        for factor in dict.fromkeys(factor_of[id(parameter)] for parameter in group["params"]):
            own = [parameter for parameter in group["params"] if factor_of[id(parameter)] == factor]
            groups.append({**group, "params": own, "lr": factor * group["lr"]})
    optimizer.param_groups[:] = groups
    return optimizer


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns, with `*` and `?` as in file names, fits a name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def require_fit(key: str, patterns: Sequence[str], names: Mapping[str, torch.Tensor]) -> None:
    """Raise InputError for a pattern that fits no name."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"training.{key}: no weight of the network fits '{pattern}'; there are {', '.join(names)}")
