"""The loss of each example."""

import torch

from cyclotrain.data.batches import Batch
from cyclotrain.training.loss import example_losses


def test_label_smoothing_gives_a_part_of_the_probability_to_all_classes() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
    batch = Batch({}, torch.tensor([0, 2]), torch.ones(2), 2, 2.0)
    wanted = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    expected = -(wanted * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(example_losses(logits, batch, label_smoothing=0.3), expected)


def test_the_loss_is_float32_for_logits_of_fewer_bits() -> None:
    logits = torch.tensor([[8.0, -8.0]], dtype=torch.bfloat16)
    batch = Batch({}, torch.tensor([0]), torch.ones(1), 1, 1.0)
    assert float(example_losses(logits, batch)[0]) < 1e-6 and example_losses(logits, batch).dtype == torch.float32
