"""The options of the training: each does what it says, is checked before the training, and resumes with the same bytes."""

import copy
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cyclotrain.config import ConfigError, TrainingConfig, load
from cyclotrain.config.training import OPTIMIZERS
from cyclotrain.core.files import file_sha256
from cyclotrain.networks.registry import Model
from cyclotrain.training.callbacks import AveragedWeights
from cyclotrain.training.machine import has_bfloat16
from cyclotrain.training.optimizers import make_optimizer
from cyclotrain.training.schedules import rate_factor
from support.toys import raw_config
from support.trained import run_training, run_until_killed

HAS_BFLOAT16 = has_bfloat16(torch.device("cpu"))


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_exists_lowers_the_loss_and_goes_on_with_the_same_bits(name: str) -> None:
    training = TrainingConfig(optimizer=name, learning_rate=0.01)
    torch.manual_seed(1)
    x = torch.randn(256, 6)
    y = (x[:, 0] * x[:, 1] > 0).long()

    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, n: int) -> list[float]:
        losses = []
        for _ in range(n):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    network = small_network()
    optimizer = make_optimizer(network, training)
    losses = steps(network, optimizer, 3)
    saved = io.BytesIO()
    torch.save([network.state_dict(), optimizer.state_dict()], saved)
    losses += steps(network, optimizer, 20)
    assert losses[-1] < losses[0]
    resumed = small_network()
    again = make_optimizer(resumed, training)
    saved.seek(0)
    weights, state = torch.load(saved, weights_only=False)
    resumed.load_state_dict(weights)
    again.load_state_dict(state)
    assert steps(resumed, again, 20) == losses[3:]


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"optimizer": "Lions"}, r"training.optimizer: there is no optimiser 'Lions'; did you mean 'lion'"),
        ({"optimizer": "q"}, r"training.optimizer: there is no optimiser 'q'; known here: adamw, "),
        ({"schedule": "cosin"}, r"training.schedule: there is no schedule 'cosin'; did you mean 'cosine'\?"),
        ({"schedule": "one_cycle", "warmup": 0}, r"'schedule: one_cycle' begins with a rise, and 'warmup' is 0"),
        ({"compile": True, "accelerator": "cpu"}, r"training: 'compile' is for a GPU, and 'accelerator' is 'cpu'"),
        ({"precision": "float16", "accelerator": "cpu"}, r"training: 'precision: float16' needs a GPU"),
        ({"ema": 1.0}, r"training.ema: "),
    ],
)
def test_a_wrong_option_is_named_before_any_job(training: dict[str, Any], message: str, toy_files: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=message):
        load(raw_config(toy_files, training=training))


def test_batches_of_like_length_need_sets_with_constituents(toy_files: dict[str, str]) -> None:
    inputs = {"jet": {"features": ["jet_pt"]}}
    with pytest.raises(ConfigError, match=r"training.bucket: no set of inputs has constituents"):
        load(raw_config(toy_files, inputs=inputs, model={"name": "mlp"}, training={"bucket": True}))


def test_an_option_that_an_optimiser_lacks_is_named_with_those_that_it_has() -> None:
    training = TrainingConfig(optimizer="lion", optimizer_options={"momentum": 0.9})
    message = r"training.optimizer_options.momentum: 'lion' has no such option; it has .*betas"
    with pytest.raises(ValueError, match=message):
        make_optimizer(small_network(), training)


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

    network = Network()
    options = {"adamw_lr": 0.001}
    optimizer = make_optimizer(network, TrainingConfig(optimizer="muon", learning_rate=0.02, optimizer_options=options))
    matrices, rest = optimizer.param_groups
    assert [id(p) for p in matrices["params"]] == [id(network.hidden.weight)] and matrices["lr"] == 0.02
    assert len(rest["params"]) == 3 and rest["lr"] == 0.001


@pytest.mark.parametrize("schedule", ["cosine", "flat_then_decay", "constant"])
def test_a_schedule_rises_in_the_warm_up_and_falls_as_it_says(schedule: str) -> None:
    rates = [rate_factor(step, schedule=schedule, warmup=0.2, steps=100) for step in range(101)]
    assert rates[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert rates[20] == 1
    if schedule == "cosine":
        assert rates[60] == pytest.approx(0.5) and rates[100] == pytest.approx(0)
    elif schedule == "flat_then_decay":
        assert rates[76] == 1 and rates[88] == pytest.approx(0.1, rel=1e-6) and rates[100] == pytest.approx(0.01)
    else:
        assert set(rates[20:]) == {1.0}
    assert all(math.isfinite(rate_factor(0, schedule=schedule, warmup=0.0, steps=steps)) for steps in (1, 2))


RECIPES = {
    "lion, cosine, bucket": {
        "optimizer": "lion", "learning_rate": 1e-3, "schedule": "cosine", "ema": 0.9, "accumulate": 3, "bucket": True,
    },
    "one cycle, clipping": {"schedule": "one_cycle", "ema": 0.9, "gradient_clipping": 0.1, "accumulate": 2, "bucket": True},
    "ranger, flat then decay": {"optimizer": "ranger", "schedule": "flat_then_decay", "ema": 0.8, "label_smoothing": 0.1},
    "muon, constant": {"optimizer": "muon", "learning_rate": 0.02, "schedule": "constant", "ema": 0.9, "bucket": True},
}  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_killed_in_the_middle_of_an_epoch_ends_with_the_same_weights(
    recipe: str, ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    training = {"epochs": 3, "batch_size": 64, **RECIPES[recipe]}
    model = {"name": "deep_sets", "options": {"phi": [8], "rho": [8], "dropout": 0.2}}
    config, contract, shards = ingest(raw_config(toy_files, training=training, model=model))
    whole = run_training(contract, config, shards, tmp_path / "whole")
    killed = tmp_path / "killed"

    run_until_killed(contract, config, shards, killed)
    assert file_sha256(run_training(contract, config, shards, killed)) == file_sha256(whole)


def saved_weights(path: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["weights"]
    return weights


def test_accumulated_batches_are_like_one_large_batch(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    """Also in the last step of an epoch, which has fewer batches, and a batch of fewer examples."""
    weights = []
    for batch_size, accumulate in ((800, 1), (200, 4)):
        training = {"epochs": 2, "batch_size": batch_size, "accumulate": accumulate, "optimizer": "sgd", "learning_rate": 0.3}
        config, contract, shards = ingest(raw_config(toy_files, training=training))
        weights.append(saved_weights(run_training(contract, config, shards, tmp_path / str(accumulate))))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)


def test_the_averaged_weights_are_kept_and_buffers_are_not_rounded(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, contract, shards = ingest(raw_config(toy_files, training={"epochs": 1, "batch_size": 64, "ema": 0.9}))
    after_steps: list[dict[str, torch.Tensor]] = []
    update = AveragedWeights.on_train_batch_end

    def recorded(callback: AveragedWeights, trainer: Any, pl_module: Any, *arguments: Any) -> None:
        after_steps.append(copy.deepcopy(pl_module.model.state_dict()))
        update(callback, trainer, pl_module, *arguments)

    monkeypatch.setattr(AveragedWeights, "on_train_batch_end", recorded)
    kept = saved_weights(run_training(contract, config, shards, tmp_path / "run"))
    average = after_steps[0]
    for weights in after_steps[1:]:
        average = {name: 0.9 * average[name] + 0.1 * value for name, value in weights.items()}
    assert len(after_steps) > 20
    for name, value in kept.items():
        torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-6)
    fitted = Model(contract, config.model.name, config.model.options).state_dict()
    assert all(torch.equal(value, fitted[name]) for name, value in kept.items() if name.startswith("features."))


class Masked(nn.Module):
    """A network with minus infinity in a buffer, as in the mask of an attention."""

    def __init__(self, sets: Any, n_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(sets["jet"].n_features, n_classes)
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    def forward(self, features: Any, masks: Any) -> torch.Tensor:
        logits: torch.Tensor = self.head(features["jet"]) + self.mask[0]
        return logits


def test_an_infinite_buffer_stays_infinite_in_the_average(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    model = {"name": "test_recipe:Masked"}
    config, contract, shards = ingest(raw_config(toy_files, model=model, training={"epochs": 1, "ema": 0.9}))
    kept = saved_weights(run_training(contract, config, shards, tmp_path / "run"))
    assert kept["network.mask"].tolist() == [0, -math.inf]


def test_the_gradient_is_clipped_to_its_norm(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    training = {
        "epochs": 1, "batch_size": 10_000, "optimizer": "sgd", "learning_rate": 1.0, "schedule": "constant", "warmup": 0,
        "weight_decay": 0, "gradient_clipping": 1e-3,
    }  # fmt: skip
    config, contract, shards = ingest(raw_config(toy_files, training=training))
    after = saved_weights(run_training(contract, config, shards, tmp_path / "run"))
    torch.manual_seed(contract.seed)
    before = Model(contract, config.model.name, config.model.options)
    change = sum(float(((after[name] - value.detach()) ** 2).sum()) for name, value in before.named_parameters())
    assert math.sqrt(change) == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this CPU has no instructions for bfloat16")
def test_bfloat16_trains_float32_weights_to_nearly_the_same_loss(ingest: Any, toy_files: dict[str, str], tmp_path: Path) -> None:
    config, contract, shards = ingest(raw_config(toy_files, training={"epochs": 1, "precision": "bfloat16"}))
    torch.manual_seed(0)
    weights = saved_weights(run_training(contract, config, shards, tmp_path / "low"))
    full, _, _ = ingest(raw_config(toy_files, training={"epochs": 1}))
    reference = saved_weights(run_training(contract, full, shards, tmp_path / "full"))
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert any((weights[name] != value).any() for name, value in reference.items())
    for name, value in reference.items():
        torch.testing.assert_close(weights[name], value, rtol=0.1, atol=0.01)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(
    ("precision", "message"),
    [("bfloat16", "'bfloat16', but CPU has no instructions for it"), ("float16", "'float16', which needs a GPU")],
)
def test_a_precision_that_the_machine_lacks_is_an_error_before_the_training(
    precision: str, message: str, ingest: Any, toy_files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    config, contract, _ = ingest(raw_config(toy_files, training={"precision": precision}))
    with pytest.raises(RuntimeError, match=message):
        run_training(contract, config, ["not read"], tmp_path / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_nothing_is_compiled_and_the_log_says_so(
    ingest: Any, toy_files: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, contract, shards = ingest(raw_config(toy_files, training={"epochs": 1, "compile": True}))
    run_training(contract, config, shards, tmp_path / "run")
    assert "training.compile: the network is not compiled, because there is no GPU" in caplog.text
