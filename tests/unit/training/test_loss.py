"""The loss of each example."""

import math

import pytest
import torch

from cyclotrain.contract import Quantity
from cyclotrain.data.batches import Batch
from cyclotrain.training.loss import example_losses, total_loss


def quantity(loss: str, *quantiles: float, weight: float = 1.0) -> Quantity:
    return Quantity("mass", "gen_mass", loss, quantiles, weight, (), (), "difference", (), offset=100.0, scale=20.0)


def batch_of(*targets: float) -> Batch:
    n = len(targets)
    flat = (torch.zeros(n, dtype=torch.int64), torch.ones(n), torch.tensor(targets)[:, None], torch.empty(n, 0))
    return Batch({}, *flat, n, float(n))


def test_label_smoothing_gives_a_part_of_the_probability_to_all_classes() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]])
    batch = Batch({}, torch.tensor([0, 2]), torch.ones(2), torch.empty(2, 0), torch.empty(2, 0), 2, 2.0)
    wanted = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    expected = -(wanted * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(example_losses(logits, batch, label_smoothing=0.3)["probabilities"], expected)


def test_the_loss_is_float32_for_logits_of_fewer_bits() -> None:
    logits = torch.tensor([[8.0, -8.0]], dtype=torch.bfloat16)
    batch = Batch({}, torch.tensor([0]), torch.ones(1), torch.empty(1, 0), torch.empty(1, 0), 1, 1.0)
    loss = example_losses(logits, batch)["probabilities"]
    assert float(loss[0]) < 1e-6 and loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", [0.25, 9.0]),
        ("huber", [0.125, 2.5]),
        ("log_cosh", [math.log(math.cosh(0.5)), math.log(math.cosh(3.0))]),
    ],
)
def test_a_quantity_has_its_loss_in_units_of_its_scale(loss: str, expected: list[float]) -> None:
    raw = torch.tensor([[0.5], [-2.0]])
    losses = example_losses(raw, batch_of(120.0, 120.0), [quantity(loss)])
    torch.testing.assert_close(losses["mass"], torch.tensor(expected))


def test_the_loss_of_quantiles_is_least_at_the_quantiles() -> None:
    target = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    quantiles = (0.16, 0.5, 0.84)
    batch = batch_of(*(100 + 20 * target).tolist())
    best = torch.quantile(target, torch.tensor(quantiles))
    losses = [
        float(example_losses((best + shift).expand(20_000, 3), batch, [quantity("quantile", *quantiles)])["mass"].mean())
        for shift in (-0.1, 0.0, 0.1)
    ]
    assert losses[1] < min(losses[0], losses[2])


@pytest.mark.parametrize("loss", ["mse", "huber", "log_cosh", "quantile"])
def test_an_example_without_the_quantity_adds_nothing_to_loss_and_gradient(loss: str) -> None:
    raw = torch.tensor([[0.5], [5.0]], requires_grad=True)
    losses = example_losses(raw, batch_of(120.0, math.nan), [quantity(loss, *([0.5] if loss == "quantile" else []))])
    losses["mass"].sum().backward()
    assert losses["mass"][0] > 0 and losses["mass"][1] == 0
    assert raw.grad is not None and raw.grad[0] != 0 and raw.grad[1] == 0


def test_the_loss_is_the_sum_over_the_outputs_with_their_weights() -> None:
    raw = torch.tensor([[1.0, -1.0, 0.5]])
    quantities = [quantity("mse", weight=3.0)]
    losses = example_losses(raw, batch_of(120.0), quantities)
    assert list(losses) == ["probabilities", "mass"]
    assert float(total_loss(losses, quantities)) == pytest.approx(math.log(1 + math.exp(-2)) + 3 * 0.25)
