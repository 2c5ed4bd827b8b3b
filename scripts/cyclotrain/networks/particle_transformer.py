from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cyclotrain.networks.attention import AttentionBlock, ClassToken, mask_bias
from cyclotrain.networks.four_vectors import wrapped
from cyclotrain.networks.layers import Embedding, Head, Style, flat_features, joined, n_flat_features
from cyclotrain.networks.shapes import SetShape

_N_PAIR_FEATURES = 4
_SMALL = 1e-6  # keeps the logarithm finite for two constituents in the same direction


class ParticleTransformer(nn.Module):
    """Particle Transformer (Qu, Li, Qian 2022): features of each pair of constituents bias the attention of every block.

    Differs from the published one: normalisation before each layer only, and from the pairs no batch normalisation.
    """

    def __init__(  # noqa: PLR0913  the options
        self,
        sets: Mapping[str, SetShape],
        n_outputs: int,
        *,
        embedding: Sequence[int],
        heads: int,
        layers: int,
        class_layers: int,
        pair: Sequence[int],
        expansion: int,
        head: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        width = embedding[-1]
        self.embedding = Embedding(sets, embedding)
        self.pair = nn.ModuleList(_ChannelsFirst(n_in, n_out) for n_in, n_out in pairwise([_N_PAIR_FEATURES, *pair, heads]))
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, expansion, dropout) for _ in range(layers))
        self.collect = ClassToken(width, heads, expansion=expansion, blocks=class_layers)
        self.head = Head(width + n_flat_features(sets), head, n_outputs, Style(dropout))

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor], vectors: Mapping[str, Tensor]) -> Tensor:
        """Outputs [B, n_outputs]."""
        x_BLD, mask_BL = self.embedding(features, masks)
        key_bias = mask_bias(mask_BL, x_BLD.dtype)
        bias = self._pair_bias(joined(vectors, self.embedding.layers.names), x_BLD.dtype) + key_bias
        for block in self.blocks:
            x_BLD = block(x_BLD, bias)
        outputs: Tensor = self.head([self.collect(x_BLD, key_bias), *flat_features(features, masks)])
        return outputs

    def _pair_bias(self, vectors_BL4: Tensor, dtype: torch.dtype) -> Tensor:
        """The bias [B, heads, L, L] from the features of each pair."""
        batch, length, _ = vectors_BL4.shape
        with torch.no_grad():
            x = pair_features(vectors_BL4).view(_N_PAIR_FEATURES, batch * length * length).to(dtype)
        for index, layer in enumerate(self.pair):
            x = layer(F.gelu(x) if index else x)
        return x.view(-1, batch, length, length).transpose(0, 1)


class _ChannelsFirst(nn.Linear):
    """A linear layer on [C, n]: one product of matrices. As a convolution of [B, C, L, L] it takes ten times as long."""

    def forward(self, x: Tensor) -> Tensor:
        return self.weight @ x + self.bias[:, None]


def pair_features(vectors_BL4: Tensor) -> Tensor:
    """ln kT, ln z, ln ΔR and ln m² of each pair, [4, B, L, L], each shifted and scaled to numbers of order 1 for jets.

    From four-vectors (pt, eta, phi, energy). m² is that of massless constituents, 2 pt₁ pt₂ (cosh Δη - cos Δφ), computed from
    ln pt: differences such as E² - p² would lose their digits in float32.
    """
    log_pt, eta, phi = torch.log(vectors_BL4[..., 0]), vectors_BL4[..., 1], vectors_BL4[..., 2]
    difference = (log_pt[:, :, None] - log_pt[:, None, :]).abs()
    softer = torch.minimum(log_pt[:, :, None], log_pt[:, None, :])
    d_eta = eta[:, :, None] - eta[:, None, :]
    d_phi = wrapped(phi[:, :, None] - phi[:, None, :])
    log_dr = 0.5 * torch.log(d_eta * d_eta + d_phi * d_phi + _SMALL)
    log_z = -torch.log(1 + torch.exp(difference))
    # cosh x - 1 = 2 sinh²(x / 2), 1 - cos x = 2 sin²(x / 2); not torch.sinh, which old ONNX Runtimes compute less precisely
    sinh, sin = 0.5 * (torch.exp(0.5 * d_eta) - torch.exp(-0.5 * d_eta)), torch.sin(0.5 * d_phi)
    log_m2 = 2 * softer + difference + torch.log(4 * (sinh * sinh + sin * sin) + _SMALL)
    scaled = (0.4 * (softer + log_dr + 1), 0.5 * (log_z + 2.5), 0.7 * (log_dr + 2), 0.25 * (log_m2 - 1))
    return torch.stack(scaled, dim=0)
