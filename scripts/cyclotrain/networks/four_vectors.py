"""Four-vectors of constituents, (pt, eta, phi, energy), as networks get them: finite and bounded."""

import math

import torch
from torch import Tensor, nn

from cyclotrain.expressions.functions import LARGEST as LARGEST_NUMBER

# What pt, eta, phi and energy are limited to, and what stands for padding and for a number that is not finite. Networks take
# logarithms of pt and energy; the limits hold for GeV and for MeV.
SMALLEST = (1e-4, -10.0, -10.0, 1e-4)
LARGEST = (1e8, 10.0, 10.0, 1e8)
PADDING = (1e-4, 0.0, 0.0, 1e-4)


def wrapped(d_phi: Tensor) -> Tensor:
    """A difference of azimuths, in [-pi, pi]."""
    return d_phi - (2 * math.pi) * torch.round(d_phi * (1 / (2 * math.pi)))


class Bounded(nn.Module):
    """Four-vectors within the limits; padding and components that are not finite become PADDING."""

    padding: Tensor
    smallest: Tensor
    largest: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("padding", PADDING), ("smallest", SMALLEST), ("largest", LARGEST)):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def forward(self, vectors_BL4: Tensor, mask_BL: Tensor) -> Tensor:
        """[B, L, 4] from any numbers."""
        is_usable = (vectors_BL4.abs() <= LARGEST_NUMBER) & mask_BL.unsqueeze(-1)
        vectors_BL4 = torch.where(is_usable, vectors_BL4, self.padding)
        return torch.minimum(torch.maximum(vectors_BL4, self.smallest), self.largest)
