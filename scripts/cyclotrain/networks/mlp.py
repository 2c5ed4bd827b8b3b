from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cyclotrain.networks.shapes import SetShape


def dense(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers through `widths`, each followed by ReLU and dropout."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers)


class MLP(nn.Module):
    """A multilayer perceptron on the features of all flat sets; options: the `hidden` layer widths and `dropout`."""

    def __init__(
        self,
        sets: Mapping[str, SetShape],
        n_classes: int,
        *,
        hidden: Sequence[int] = (128, 128, 128),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if jagged := [name for name, shape in sets.items() if shape.is_jagged]:
            raise ValueError(f"model: 'mlp' takes flat features only, and inputs.{jagged[0]} has constituents; use 'deep_sets'")
        widths = [sum(shape.n_features for shape in sets.values()), *hidden]
        self.body = dense(widths, dropout)
        self.head = nn.Linear(widths[-1], n_classes)

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, n_classes]."""
        logits: Tensor = self.head(self.body(torch.cat(list(features.values()), dim=-1)))
        return logits
