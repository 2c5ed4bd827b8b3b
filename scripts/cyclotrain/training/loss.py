"""The loss of each example, from what the network gives."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cyclotrain.contract import OUTPUT, Quantity
from cyclotrain.data.batches import Batch


def example_losses(
    raw_BK: Tensor, batch: Batch, quantities: Sequence[Quantity] = (), *, label_smoothing: float = 0.0
) -> dict[str, Tensor]:
    """The loss [B] of each output by its name, without the weights of outputs and examples.

    raw_BK: the logits of the classes, if there are any, then the columns of the quantities. The losses are the cross-entropy of
    logits and labels, and that of each quantity on the target in units of its scale, 0 where there is none. label_smoothing:
    this part of the wanted probability goes to all classes alike (Szegedy et al. 2016); 0 in validation.
    """
    raw_BK = raw_BK.float()  # also if the network computes in fewer bits
    n_columns = [len(quantity.columns) for quantity in quantities]
    logits_BC, *estimates = raw_BK.split([raw_BK.shape[1] - sum(n_columns), *n_columns], dim=-1)
    losses = {}
    if logits_BC.shape[1]:
        losses[OUTPUT] = F.cross_entropy(logits_BC, batch.label, reduction="none", label_smoothing=label_smoothing)
    for quantity, estimate_BQ, target_B in zip(quantities, estimates, batch.target.unbind(-1), strict=True):
        is_defined_B = ~torch.isnan(target_B)
        # not NaN * 0, whose gradient is NaN
        standardised_B = torch.where(is_defined_B, (target_B - quantity.offset) / quantity.scale, 0.0)
        losses[quantity.name] = is_defined_B * _loss(quantity, estimate_BQ, standardised_B)
    return losses


def total_loss(losses: Mapping[str, Tensor], quantities: Sequence[Quantity] = ()) -> Tensor:
    """The loss [B]: the sum over the outputs, each with its weight."""
    weights = {quantity.name: quantity.weight for quantity in quantities}
    return torch.stack([loss * weights.get(name, 1.0) for name, loss in losses.items()]).sum(0)


def _loss(quantity: Quantity, estimate_BQ: Tensor, target_B: Tensor) -> Tensor:
    """The loss [B] of a quantity; for quantiles, the mean of theirs."""
    difference_BQ = target_B.unsqueeze(-1) - estimate_BQ
    match quantity.loss:
        case "mse":
            loss_BQ = difference_BQ**2
        case "huber":
            loss_BQ = F.huber_loss(estimate_BQ, target_B.unsqueeze(-1).expand_as(estimate_BQ), reduction="none")
        case "log_cosh":  # log(cosh(x)), written so that it does not overflow
            size_BQ = difference_BQ.abs()
            loss_BQ = size_BQ + F.softplus(-2 * size_BQ) - math.log(2)
        case "quantile":  # the pinball loss (Koenker, Bassett, Econometrica 46, 1978)
            quantile_Q = difference_BQ.new_tensor(quantity.quantiles)
            loss_BQ = torch.maximum(quantile_Q * difference_BQ, (quantile_Q - 1) * difference_BQ)
        case other:
            raise ValueError(f"regression.{quantity.name}.loss: '{other}' is unknown")
    return loss_BQ.mean(-1)
