"""The last layer of the model: what the network gives to probabilities and to regressed quantities in their units."""

import torch
from torch import Tensor, nn

from cyclotrain.contract import Contract


class OutputLayer(nn.Module):
    """From the numbers of the network [B, n_outputs] to the outputs of the graph, in the order of `Contract.outputs`.

    The first numbers are the logits of the classes, if there are any; they are divided by `temperature`. The others are
    standardised: each is multiplied by the scale of its quantity, and the offset is added. Quantiles are sorted, so that they
    never cross; this takes none of them farther from the true quantile function (Chernozhukov, Fernandez-Val, Galichon,
    Econometrica 78, 2010).
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.temperature = 1.0  # not a weight: a training that is not calibrated has none
        self._has_classes = bool(contract.classes)
        self._n_columns = [len(output.columns) for output in contract.outputs]
        if contract.regression:  # a model with classes only has the same weights as without this layer
            self.register_buffer("offset", torch.tensor([q.offset for q in contract.regression], dtype=torch.float32))
            self.register_buffer("scale", torch.tensor([q.scale for q in contract.regression], dtype=torch.float32))

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        """The outputs: probabilities [B, n_classes], and [B, 1] or [B, n_quantiles] for each quantity."""
        # one output is not split: an operation less in the graph
        parts = list(raw.split(self._n_columns, dim=-1)) if self._n_columns[1:] else [raw]
        outputs = []
        if self._has_classes:
            logits = parts.pop(0)
            outputs.append(torch.softmax(logits if self.temperature == 1 else logits * (1 / self.temperature), dim=-1))
        for index, part in enumerate(parts):
            value = part * self.scale[index] + self.offset[index]
            outputs.append(value.sort(dim=-1).values if value.shape[-1] > 1 else value)
        return tuple(outputs)
