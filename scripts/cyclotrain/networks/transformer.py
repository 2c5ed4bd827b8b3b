from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from cyclotrain.networks.attention import AttentionBlock, ClassToken, before, learned_tokens, mask_bias
from cyclotrain.networks.layers import Embedding, Head, Style, flat_features, n_flat_features
from cyclotrain.networks.shapes import SetShape


class Transformer(nn.Module):
    """A transformer over the constituents of all jagged sets (Vaswani et al. 2017), with normalisation before each layer.

    Registers, learned tokens that are never masked, stand beside the constituents (Darcet et al. 2024); flat features are added
    to them. At the end a class token collects everything (Touvron et al. 2021), and flat features stand beside it in the head.
    """

    def __init__(  # noqa: PLR0913  the options
        self,
        sets: Mapping[str, SetShape],
        n_outputs: int,
        *,
        width: int,
        heads: int,
        layers: int,
        class_layers: int,
        registers: int,
        expansion: int,
        head: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = Embedding(sets, [2 * width, width])
        self.registers = learned_tokens(registers, width)
        n_flat = n_flat_features(sets)
        self.flat = nn.Linear(n_flat, width) if n_flat else None
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, expansion, dropout) for _ in range(layers))
        self.collect = ClassToken(width, heads, expansion=expansion, blocks=class_layers)
        self.head = Head(width + n_flat, head, n_outputs, Style(dropout))

    def forward(self, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Outputs [B, n_outputs]."""
        x_BLD, mask_BL = self.embedding(features, masks)
        flat = flat_features(features, masks)
        registers = self.registers.expand(x_BLD.shape[0], -1, -1)
        if self.flat:
            registers = registers + self.flat(torch.cat(flat, dim=-1))[:, None]
        x_BLD = torch.cat((registers, x_BLD), dim=1)
        bias = before(registers.shape[1], mask_bias(mask_BL, x_BLD.dtype))
        for block in self.blocks:
            x_BLD = block(x_BLD, bias)
        outputs: Tensor = self.head([self.collect(x_BLD, bias), *flat])
        return outputs
