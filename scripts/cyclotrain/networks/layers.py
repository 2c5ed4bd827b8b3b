"""Layers that several networks share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from cyclotrain.networks.sets import SetModules
from cyclotrain.networks.shapes import SetShape


@dataclass(frozen=True)
class Style:
    """How dense layers are made: the dropout behind each, layer normalisation before its ReLU, its input added to its output."""

    dropout: float = 0.0
    normalise: bool = False
    residual: bool = False


def dense(widths: Sequence[int], style: Style) -> nn.Sequential:
    """Linear layers through `widths`, each followed by ReLU."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layer = nn.Sequential(
            nn.Linear(n_in, n_out),
            *([nn.LayerNorm(n_out)] if style.normalise else []),
            nn.ReLU(),
            *([nn.Dropout(style.dropout)] if style.dropout else []),
        )
        layers.append(Residual(layer) if style.residual and n_in == n_out else layer)
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """A layer whose input is added to its output (He et al. 2016)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """x plus what the layer makes of it, of the same shape."""
        return x + self.layer(x)


def flat_features(features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
    """The features [B, F] of each flat set."""
    return [x for name, x in features.items() if name not in masks]


def n_flat_features(sets: Mapping[str, SetShape]) -> int:
    """The number of features of all flat sets together."""
    return sum(shape.n_features for shape in sets.values() if not shape.is_jagged)


class Embedding(nn.Module):
    """All jagged sets as one sequence of constituents: each set has its own layers from its features through `widths`."""

    def __init__(self, sets: Mapping[str, SetShape], widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = SetModules(
            {name: _embedding([shape.n_features, *widths]) for name, shape in sets.items() if shape.is_jagged}
        )

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The sequence [B, L, widths[-1]] and its mask [B, L], where L is the sum of the lengths of the sets."""
        names = self.layers.names
        return joined({name: self.layers[name](features[name]) for name in names}, names), joined(masks, names)


def joined(by_set: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """The constituents of the sets, one set after another."""
    return by_set[names[0]] if len(names) == 1 else torch.cat([by_set[name] for name in names], dim=1)


def _embedding(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.GELU(), nn.LayerNorm(n_out)]
    return nn.Sequential(*layers[:-2])  # the last layer is linear


class Head(nn.Module):
    """What was collected from the constituents, beside the flat features: through dense layers to the outputs."""

    def __init__(self, n_inputs: int, hidden: Sequence[int], n_outputs: int, style: Style) -> None:
        super().__init__()
        self.body = dense([n_inputs, *hidden], style)
        self.out = nn.Linear([n_inputs, *hidden][-1], n_outputs)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Outputs [B, n_outputs] from parts [B, C] that have `n_inputs` columns together."""
        outputs: Tensor = self.out(self.body(torch.cat(list(parts), dim=-1)))
        return outputs
