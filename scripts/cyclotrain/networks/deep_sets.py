from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from cyclotrain.networks.layers import Head, Style, dense, flat_features, n_flat_features
from cyclotrain.networks.sets import SetModules
from cyclotrain.networks.shapes import SetShape


class DeepSets(nn.Module):
    """Deep Sets (Zaheer et al. 2017; in jet physics: particle flow networks, Komiske, Metodiev, Thaler 2019).

    `phi` acts on each constituent; `rho` acts on the sum over the set, together with the flat features.
    """

    def __init__(  # noqa: PLR0913  the options
        self,
        sets: Mapping[str, SetShape],
        n_outputs: int,
        *,
        phi: Sequence[int],
        rho: Sequence[int],
        dropout: float,
        normalise: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        style = Style(dropout, normalise, residual)
        jagged = {name: shape for name, shape in sets.items() if shape.is_jagged}
        self.phi = SetModules(
            {name: dense([shape.n_features, *phi], replace(style, dropout=0.0)) for name, shape in jagged.items()}
        )
        self.head = Head(len(jagged) * phi[-1] + n_flat_features(sets), rho, n_outputs, style)

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Outputs [B, n_outputs]."""
        sums = []
        for name in self.phi.names:
            latent_BLC = self.phi[name](features[name])
            # With 0.1, the sum over tens of constituents starts at the scale of a standardised feature. A product, because
            # torch.where takes twice as long; features of padding are 0, so what it hides is finite.
            weight_BL1 = 0.1 * masks[name].unsqueeze(-1).to(latent_BLC.dtype)
            sums.append((weight_BL1 * latent_BLC).sum(dim=1))
        outputs: Tensor = self.head([*sums, *flat_features(features, masks)])
        return outputs
