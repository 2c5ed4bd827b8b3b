"""Attention over constituents: blocks in which all look at each other, and blocks that collect them in one token.

Layer normalisation stands before each part of a block (Xiong et al. 2020). Masks enter as a bias on the attention.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# finite, so that a row of masked constituents stays finite; exp(-1e4) is exactly 0 in float32
_MASKED = -1e4


def mask_bias(mask_BL: Tensor, dtype: torch.dtype) -> Tensor:
    """The bias [B, 1, 1, L] that hides masked constituents: 0 for a real one."""
    return torch.where(mask_BL, 0.0, _MASKED).to(dtype)[:, None, None, :]


def before(n_tokens: int, bias_B11L: Tensor) -> Tensor:
    """The bias with `n_tokens` more tokens, which are never masked, in front."""
    return torch.cat((torch.zeros_like(bias_B11L[..., :1]).expand(-1, -1, -1, n_tokens), bias_B11L), dim=-1)


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) with a bias on its weights before the softmax."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key_value, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, to_BQD: Tensor, from_BLD: Tensor, bias: Tensor) -> Tensor:
        """What `to` [B, Q, D] learns from `from` [B, L, D]; bias: [B, 1, 1, L], or [B, heads, Q, L]."""
        batch, n_queries, width = to_BQD.shape
        head = width // self.heads
        query = self.query(to_BQD).view(batch, n_queries, self.heads, head).transpose(1, 2)
        key_value = self.key_value(from_BLD).view(batch, from_BLD.shape[1], 2, self.heads, head)
        key, value = key_value.permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        if bias.shape[1] == 1:
            answer = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
        else:  # PyTorch 2.13 cannot export the other with such a bias
            weights = torch.softmax((query * head**-0.5) @ key.transpose(-1, -2) + bias, dim=-1)
            answer = F.dropout(weights, dropout) @ value
        learned: Tensor = self.out(answer.transpose(1, 2).reshape(batch, n_queries, width))
        return learned


class _Block(nn.Module):
    """Attention, then two dense layers, `expansion` times as wide inside, with layer normalisation before each part."""

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, expansion * width), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(expansion * width, width), nn.Dropout(dropout),
        )  # fmt: skip


class AttentionBlock(_Block):
    """Constituents look at each other."""

    def forward(self, x_BLD: Tensor, bias: Tensor) -> Tensor:
        """The constituents [B, L, D] after the block."""
        normed = self.norm(x_BLD)
        x_BLD = x_BLD + self.attention(normed, normed, bias)
        x_BLD = x_BLD + self.dense(x_BLD)
        return x_BLD


class ClassBlock(_Block):
    """One token collects what the constituents hold (class attention, Touvron et al. 2021)."""

    def forward(self, token_B1D: Tensor, x_BLD: Tensor, bias_B11L: Tensor) -> Tensor:
        """The token [B, 1, D] after the block; it looks at itself too, so that an empty set leaves it finite."""
        normed = self.norm(torch.cat((token_B1D, x_BLD), dim=1))
        token_B1D = token_B1D + self.attention(normed[:, :1], normed, before(1, bias_B11L))
        token_B1D = token_B1D + self.dense(token_B1D)
        return token_B1D


class ClassToken(nn.Module):
    """A learned token that some class blocks fill; then it is normalised: [B, L, D] to [B, D]."""

    def __init__(self, width: int, heads: int, *, expansion: int, blocks: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.token = learned_tokens(1, width)
        self.blocks = nn.ModuleList(ClassBlock(width, heads, expansion, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BLD: Tensor, bias_B11L: Tensor) -> Tensor:
        """The filled token [B, D]."""
        token = self.token.expand(x_BLD.shape[0], -1, -1)
        for block in self.blocks:
            token = block(token, x_BLD, bias_B11L)
        filled: Tensor = self.norm(token[:, 0])
        return filled


def learned_tokens(n: int, width: int) -> nn.Parameter:
    """Tokens [1, n, width] that start small."""
    return nn.Parameter(0.02 * torch.randn(1, n, width))
