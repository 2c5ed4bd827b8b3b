from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cyclotrain.networks.mlp import dense
from cyclotrain.networks.sets import SetModules
from cyclotrain.networks.shapes import SetShape


class DeepSets(nn.Module):
    """Deep Sets (Zaheer et al. 2017; in jet physics: particle flow networks, Komiske, Metodiev, Thaler 2019).

    `phi` acts on each constituent; `rho` acts on the sum over the set, together with the flat features.
    Options: the layer widths of `phi` and `rho`, and `dropout` in `rho`.
    """

    def __init__(
        self,
        sets: Mapping[str, SetShape],
        n_classes: int,
        *,
        phi: Sequence[int] = (100, 100, 128),
        rho: Sequence[int] = (100, 100),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        jagged = {name: shape for name, shape in sets.items() if shape.is_jagged}
        if not jagged:
            raise ValueError(
                "model: 'deep_sets' needs a set of constituents (inputs with 'max_length'); use 'mlp' for flat features"
            )
        self.phi = SetModules({name: dense([shape.n_features, *phi]) for name, shape in jagged.items()})
        n_flat = sum(shape.n_features for shape in sets.values() if not shape.is_jagged)
        self.rho = dense([len(jagged) * phi[-1] + n_flat, *rho], dropout)
        self.head = nn.Linear(rho[-1], n_classes)

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, n_classes]."""
        parts = []
        for name, x in features.items():
            if name in masks:
                latent_BLC = self.phi[name](x)
                # with 0.1, the sum over tens of constituents starts at the scale of a standardised feature
                parts.append(0.1 * torch.where(masks[name].unsqueeze(-1), latent_BLC, 0.0).sum(dim=1))
            else:
                parts.append(x)
        logits: Tensor = self.head(self.rho(torch.cat(parts, dim=-1)))
        return logits
