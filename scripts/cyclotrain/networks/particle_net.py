from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cyclotrain.networks.four_vectors import wrapped
from cyclotrain.networks.layers import Head, Style, flat_features, joined, n_flat_features
from cyclotrain.networks.sets import SetModules
from cyclotrain.networks.shapes import SetShape

_NO_NEIGHBOUR = 1e9  # a squared distance that no two constituents have


class ParticleNet(nn.Module):
    """ParticleNet (Qu, Gouskos 2020): constituents exchange messages with their nearest neighbours in (eta, phi).

    Differs from the published one: layer normalisation for batch normalisation; a layer of the message that depends on one
    constituent only is computed once for each; the last layer follows the mean over the neighbours. With `graph: features`, each
    layer but the first finds the neighbours anew, nearest in its own features.
    """

    def __init__(  # noqa: PLR0913  the options
        self,
        sets: Mapping[str, SetShape],
        n_outputs: int,
        *,
        neighbours: int,
        layers: Sequence[Sequence[int]],
        graph: str,
        pool: int,
        head: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.neighbours, self.from_features = neighbours, graph == "features"
        self.names = [name for name, shape in sets.items() if shape.is_jagged]
        self.embedding = SetModules({name: nn.Linear(sets[name].n_features, layers[0][0]) for name in self.names})
        self.layers = nn.ModuleList(
            EdgeConvolution(n_in, widths) for n_in, widths in zip([layers[0][0], *(w[-1] for w in layers)], layers, strict=False)
        )
        self.fuse = nn.Linear(sum(widths[-1] for widths in layers), pool)
        self.head = Head(2 * pool + n_flat_features(sets), head, n_outputs, Style(dropout))

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor], vectors: Mapping[str, Tensor]) -> Tensor:
        """Outputs [B, n_outputs]."""
        mask_BL, vectors_BL4 = joined(masks, self.names), joined(vectors, self.names)
        x_BLC = F.relu(joined({name: self.embedding[name](features[name]) for name in self.names}, self.names))
        distance_BLL, layers = angular_distance(vectors_BL4), []
        rows, weight = nearest(distance_BLL, mask_BL, self.neighbours)
        for index, layer in enumerate(self.layers):
            if index and self.from_features:
                rows, weight = nearest(distance(x_BLC), mask_BL, self.neighbours)
            x_BLC = layer(x_BLC, rows, weight.to(x_BLC.dtype))
            layers.append(x_BLC)
        fused = torch.where(mask_BL.unsqueeze(-1), F.relu(self.fuse(torch.cat(layers, dim=-1))), 0.0)
        mean = fused.sum(dim=1) / mask_BL.sum(dim=1, keepdim=True).clamp(min=1)
        # after ReLU none is negative: padding is never the largest, and an empty set gives 0
        outputs: Tensor = self.head([mean, fused.amax(dim=1), *flat_features(features, masks)])
        return outputs


class EdgeConvolution(nn.Module):
    """x_i + mean over the neighbours j of a message from x_i and x_j (Wang et al. 2019), through the layer `widths`."""

    def __init__(self, n_inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.own, self.other = nn.Linear(n_inputs, widths[0]), nn.Linear(n_inputs, widths[0], bias=False)
        self.message = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(widths))
        self.shortcut, self.norm = nn.Linear(n_inputs, widths[-1]), nn.LayerNorm(widths[-1])

    def forward(self, x_BLC: Tensor, neighbours_BLK: Tensor, weight_BLK: Tensor) -> Tensor:
        """The constituents [B, L, widths[-1]]; neighbours and weights from `nearest`."""
        other = self.other(x_BLC)
        from_others = other.flatten(0, 1).index_select(0, neighbours_BLK.flatten()).view(*neighbours_BLK.shape, other.shape[-1])
        message_BLKC = F.relu(self.own(x_BLC).unsqueeze(2) + from_others)
        *edge_layers, last = self.message
        for layer in edge_layers:
            message_BLKC = F.relu(layer(message_BLKC))
        mean = last((message_BLKC * weight_BLK.unsqueeze(-1)).sum(dim=2))  # the mean of a linear layer is that of the mean
        return F.relu(self.norm(self.shortcut(x_BLC) + mean))


def angular_distance(vectors_BL4: Tensor) -> Tensor:
    """ΔR² of each pair [B, L, L]; by differences, because products lose the digits of small distances."""
    eta, phi = vectors_BL4[..., 1], vectors_BL4[..., 2]
    d_eta, d_phi = eta[:, :, None] - eta[:, None, :], wrapped(phi[:, :, None] - phi[:, None, :])
    return d_eta * d_eta + d_phi * d_phi


def distance(x_BLC: Tensor) -> Tensor:
    """The squared distance of each pair [B, L, L] of constituents in their C features."""
    x_BLC = x_BLC.detach()
    squared = (x_BLC * x_BLC).sum(dim=-1)
    return squared[:, :, None] + squared[:, None, :] - 2 * x_BLC @ x_BLC.transpose(1, 2)


@torch.no_grad()
def nearest(distance_BLL: Tensor, mask_BL: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest other constituents of each: their rows [B, L, k] among all B · L constituents, and weights [B, L, k].

    The weights add up to 1. A neighbour that is not there has weight 0, so it does not matter which row stands for it.
    """
    batch, length = mask_BL.shape
    place = torch.arange(length, device=mask_BL.device)
    is_other = place[:, None] != place[None, :]
    distance_BLL = torch.where(mask_BL[:, None, :] & is_other, distance_BLL, _NO_NEIGHBOUR)
    # k more columns, because there may be fewer constituents than neighbours
    neighbours = torch.topk(F.pad(distance_BLL, (0, k), value=_NO_NEIGHBOUR), k, dim=-1, largest=False)
    is_there = neighbours.values < 0.1 * _NO_NEIGHBOUR
    weight = is_there / is_there.sum(dim=-1, keepdim=True).clamp(min=1)
    first = torch.arange(batch, device=mask_BL.device)[:, None, None] * length
    return torch.where(is_there, neighbours.indices, 0) + first, weight
