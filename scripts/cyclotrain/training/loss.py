"""The loss of each example, from the output of the model."""

from torch import Tensor
from torch.nn import functional as F

from cyclotrain.data.batches import Batch


def example_losses(logits_BC: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
    """The cross-entropy [B] of logits and labels, without the weights of the examples.

    label_smoothing: this part of the wanted probability goes to all classes alike (Szegedy et al. 2016); 0 in validation.
    """
    # in float32 also if the network computes in fewer bits
    return F.cross_entropy(logits_BC.float(), batch.label, reduction="none", label_smoothing=label_smoothing)
