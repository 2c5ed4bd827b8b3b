"""The model as LibTorch's consumers call it: branches by position."""

import torch
from torch import Tensor, nn

from cyclotrain.contract import Layout
from cyclotrain.networks.registry import Outputs


class ByPosition(nn.Module):
    """A model that takes its branches in the order of the contract."""

    def __init__(self, outputs: Outputs, layout: Layout) -> None:
        super().__init__()
        self.outputs, self._branches = outputs, list(layout.inputs)

    def forward(self, *values: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The only output, or all of them."""
        answer: tuple[Tensor, ...] = self.outputs(dict(zip(self._branches, values, strict=True)))
        return answer[0] if len(answer) == 1 else answer


def example(layout: Layout) -> tuple[Tensor, ...]:
    """A batch of branches, with which a model is traced."""
    # sets longer than max_length, so that the cut is part of the trace
    random = torch.Generator().manual_seed(0)
    lengths = (1 if name is None else (layout.sets[name].max_length or 1) + 3 for name in layout.inputs.values())
    return tuple(torch.rand(5, length, generator=random) + 0.5 for length in lengths)
