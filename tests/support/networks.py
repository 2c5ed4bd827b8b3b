"""Networks as users write them, good and bad. All take the set `pf` of the toys."""

import torch
from torch import Tensor, nn


class _OnConstituents(nn.Module):
    def __init__(self, sets, n_classes):
        super().__init__()
        self.n = sets["pf"].n_features
        self.out = nn.Linear(self.n, n_classes)

    def forward(self, features, masks):
        return self.out(self.pooled(features["pf"], masks["pf"]))

    def pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask.unsqueeze(-1), x, 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


class Recurrent(_OnConstituents):
    """The final state of two layers in both directions, which knows nothing of masks."""

    layer: type[nn.RNNBase] = nn.GRU

    def __init__(self, sets, n_classes):
        super().__init__(sets, n_classes)
        self.layers = self.layer(self.n, self.n, num_layers=2, bidirectional=True, batch_first=True)

    def pooled(self, x, mask):
        state = self.layers(x)[1]
        return (state[0] if isinstance(state, tuple) else state)[-1]


class Elman(Recurrent):
    layer = nn.RNN


class LongShortTerm(Recurrent):
    layer = nn.LSTM


class Transformer(_OnConstituents):
    """nn.TransformerEncoder as it is by default, for which PyTorch makes nested tensors."""

    def __init__(self, sets, n_classes):
        super().__init__(sets, n_classes)
        self.embed = nn.Linear(self.n, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
        self.out = nn.Linear(8, n_classes)

    def pooled(self, x, mask):
        x = self.encoder(self.embed(x), src_key_padding_mask=~mask)
        return torch.where(mask.unsqueeze(-1), x, 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


class NoOnnx(_OnConstituents):
    def forward(self, features, masks):
        waves = torch.special.bessel_j0(features["pf"])
        return self.out(waves.mean(1))


class DecidesOnValues(_OnConstituents):
    def pooled(self, x, mask):
        if x.mean() > 0.1:
            x = 2 * x
        return x.mean(1)


class LoopsOverConstituents(_OnConstituents):
    def pooled(self, x, mask):
        total = 0
        for i in range(x.shape[1]):
            total = total + x[:, i] / (i + 1)
        return total


class Noisy(_OnConstituents):
    def pooled(self, x, mask):
        return x.mean(1) + torch.rand_like(x[:, 0])


class OneOutput(_OnConstituents):
    def __init__(self, sets, n_classes):
        super().__init__(sets, 1)


class SumsClasses(_OnConstituents):
    def forward(self, features, masks):
        return super().forward(features, masks).sum()


class Lazy(_OnConstituents):
    def __init__(self, sets, n_classes):
        super().__init__(sets, n_classes)
        self.out = nn.LazyLinear(n_classes)


class MaximumOfNothing(_OnConstituents):
    def pooled(self, x, mask):
        return x.masked_fill(~mask.unsqueeze(-1), float("-inf")).amax(1)


class HiddenDivisionByZero(_OnConstituents):
    """Finite for an empty set, but its gradient is not."""

    def pooled(self, x, mask):
        n = mask.sum(1, keepdim=True)
        return torch.where(n > 0, self.scaled(x, mask) / n, 0.0)

    def scaled(self, x, mask):
        return torch.where(mask.unsqueeze(-1), x, 0).sum(1) * self.out.weight.sum().sqrt().nan_to_num(1)


class OtherShape(_OnConstituents):
    def pooled(self, x, mask):
        return x.transpose(1, 2) @ self.out.weight


class NoWeights(_OnConstituents):
    def forward(self, features, masks):
        x = features["pf"].mean((1, 2))
        return torch.stack([x, -x], 1).requires_grad_()


class FailsWhenMade(_OnConstituents):
    def __init__(self, sets, n_classes):
        super().__init__(sets, n_classes)
        self.extra = nn.Linear(sets["tracks"].n_features, 3)


class NearestInEta(_OnConstituents):
    """Each constituent with the two nearest in eta alone; where eta is NaN, all are equally near, at exactly 0."""

    def __init__(self, sets, n_classes):
        super().__init__(sets, n_classes)
        self.edge = nn.Linear(2 * self.n, 16)
        self.out = nn.Linear(16, n_classes)

    def pooled(self, x, mask):
        x = torch.cat([x, x.new_zeros(x.shape[0], 3, x.shape[2])], 1)
        real = torch.cat([mask, mask.new_zeros(mask.shape[0], 3)], 1)
        eta = x[..., 1]
        distance = (eta.unsqueeze(2) - eta.unsqueeze(1)).abs() + 100 * (~real).unsqueeze(1).to(x.dtype)
        distance = distance + 1000 * torch.eye(x.shape[1]).to(x.dtype)  # no constituent is its own neighbour
        nearest = distance.topk(2, dim=-1, largest=False).indices
        b, n, c = x.shape
        others = x.unsqueeze(1).expand(b, n, n, c).gather(2, nearest.unsqueeze(-1).expand(b, n, 2, c))
        edges = torch.relu(self.edge(torch.cat([x.unsqueeze(2).expand_as(others), others], -1))).mean(2)
        weight = mask.unsqueeze(-1).to(x.dtype)
        return (edges[:, : mask.shape[1]] * weight).sum(1) / weight.sum(1).clamp(min=1)


class OnlySingle(_OnConstituents):
    """Adds a state of float32, as an LSTM's initial state is written."""

    def pooled(self, x, mask):
        return super().pooled(x, mask) @ torch.eye(self.n)


class CountsPadding(_OnConstituents):
    def pooled(self, x, mask):
        return x.mean(1)


class AnswersInSingle(_OnConstituents):
    def forward(self, features, masks):
        return super().forward(features, masks).float()
