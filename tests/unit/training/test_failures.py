"""What a training says that cannot go on."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from support.toys import raw_config
from support.trained import run_training


def test_a_loss_that_is_not_finite_names_step_weight_feature_and_the_saved_state(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    training = {"epochs": 3, "batch_size": 128, "learning_rate": 1e30, "schedule": "constant", "warmup": 0}
    config, contract, shards = ingest(raw_config(toy_files, training=training))
    message = (
        r"the loss is not finite in epoch 1, batch 2 of 15, at a learning rate of 1e\+30. The largest weight of the "
        r"network before it is 1\.\d+e\+30 \(network\..*\); the largest feature of the last batch is .* \(inputs\..*: .*\); the "
        r"largest training weight of an example is 1.* are in .*not_finite.pt"
    )
    with pytest.raises(ValueError, match=message):
        run_training(contract, config, shards, tmp_path / "run")
    (saved,) = tmp_path.glob("run/ck/*/not_finite.pt")
    state = torch.load(saved, weights_only=True)
    assert len(state["label"]) == 128 and state["branches"]["jet_pt"].shape == (128, 1)
    assert max(float(value.abs().max()) for value in state["weights"].values()) > 1e29


class Explodes(nn.Module):
    """A network that has learnt nothing finite when it is validated."""

    def __init__(self, sets: Any, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(sets["jet"].n_features, n_classes)

    def forward(self, features: Any, masks: Any) -> torch.Tensor:
        logits: torch.Tensor = self.head(features["jet"])
        return logits if self.training else logits * torch.inf


def test_a_validation_loss_that_is_not_finite_names_the_epoch(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = ingest(raw_config(toy_files, model={"name": "test_failures:Explodes"}))
    with pytest.raises(ValueError, match="the validation loss is not finite after epoch 1, at a"):
        run_training(contract, config, shards, tmp_path / "run")


class Greedy(nn.Module):
    """A network that asks for a petabyte."""

    def __init__(self, sets: Any, n_classes: int, *, width: int = 1) -> None:
        super().__init__()
        self.head = nn.Linear(sets["jet"].n_features, n_classes)

    def forward(self, features: Any, masks: Any) -> torch.Tensor:
        return self.head(features["jet"]) + torch.empty(2**48)[0]  # type: ignore[no-any-return]


def test_too_little_memory_names_batch_and_network_and_what_to_lower(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    model = {"name": "test_failures:Greedy", "options": {"width": 3}}
    config, contract, shards = ingest(raw_config(toy_files, model=model))
    message = (
        r"out of memory on CPU: network 'test_failures:Greedy' with model.options \{'width': 3\}, batches of 128 examples in "
        r"training and 512 in validation. Lower training.batch_size: 'batch_size: 64' with 'accumulate: 2'"
    )
    with pytest.raises(RuntimeError, match=message):
        run_training(contract, config, shards, tmp_path / "run")
