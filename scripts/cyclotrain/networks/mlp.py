from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from cyclotrain.networks.layers import Head, Style, flat_features, n_flat_features
from cyclotrain.networks.shapes import SetShape


class MLP(nn.Module):
    """A multilayer perceptron on the features of all flat sets."""

    def __init__(
        self,
        sets: Mapping[str, SetShape],
        n_outputs: int,
        *,
        hidden: Sequence[int],
        dropout: float,
        normalise: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        self.head = Head(n_flat_features(sets), hidden, n_outputs, Style(dropout, normalise, residual))

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Outputs [B, n_outputs]."""
        outputs: Tensor = self.head(flat_features(features, masks))
        return outputs
