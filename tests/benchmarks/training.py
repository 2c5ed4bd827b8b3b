"""Steps of a training as Cyclotrain makes them, timed from the end of one to the end of the next, so with loading."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figures import Figure, figure
from cyclotrain.config import Config, ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.memory import keep_freed_memory
from cyclotrain.data.assemble import assemble
from cyclotrain.data.batches import Batch, Batches, Shuffle
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.data.shards import read_split
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from cyclotrain.networks.registry import Model
from cyclotrain.training.optimizers import make_optimizer
from cyclotrain.training.step import WeightedTraining

_REPEATS, _STEPS, _SQUARE = 5, 60, 1024


def with_model(config: Config, name: str, **changes: Any) -> Config:
    """The config with another network, with the default options."""
    return config.model_copy(update={"model": ModelConfig(name=name), **changes})


def assembled(config: Config, files: dict[str, str], folder: Path) -> tuple[Contract, list[str]]:
    """The contract and the shards of the files, one for each sample."""
    folder.mkdir()
    shards, receipts = [], []
    for name, path in files.items():
        shards.append(str(folder / f"{name}.arrow"))
        receipts.append(str(folder / f"{name}.json"))
        skim(Recipe.from_config(config, name), [path], friends={}, skip_broken=False, shard=shards[-1], receipt=receipts[-1])
    recipe, contract, dataset = DatasetRecipe.from_config(config, fold=None), folder / "contract.json", folder / "dataset.json"
    assemble(recipe, receipts=receipts, shards=shards, contract=contract, dataset=dataset)
    return Contract.read(folder / "contract.json"), shards


class Training:
    """The training of a config, its batches on the GPU if there is one."""

    def __init__(self, config: Config, contract: Contract, shards: list[str]) -> None:
        keep_freed_memory()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        train = read_split(shards, contract, "train")
        shuffle = Shuffle(1, bucket=config.training.bucket)
        self.batches = Batches(train, contract.layout, config.training.batch_size, device=self.device, shuffle=shuffle)
        self.module = WeightedTraining(
            Model(contract, config.model.name, config.model.options), contract, training=config.training, steps=10_000
        )

    def steps(self, n_steps: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
        """The seconds of each of `n_steps` steps in Lightning's loop, without the first of an epoch."""
        timed = _Clock(clock)
        trainer = L.Trainer(
            accelerator="gpu" if self.device.type == "cuda" else "cpu", devices=1, max_steps=n_steps, logger=False,
            deterministic=True, plugins=[LightningEnvironment()],  # as in the training
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[timed],
        )  # fmt: skip
        trainer.fit(self.module, self.batches)
        return timed.seconds

    def resident_step(self, batch: Batch, n_steps: int) -> float:
        """The median seconds of a step of the same model, loss and optimiser in a plain loop on one batch."""
        self.module.to(self.device)
        optimizer = make_optimizer(self.module.model, self.module.training_config)

        def one() -> None:
            optimizer.zero_grad()
            self.module.training_step(batch, 0).backward()
            optimizer.step()

        return statistics.median(_seconds(one, self.device) for _ in range(n_steps))


class _Clock(Callback):
    """The time of each step from the end of the step before, so it includes loading; without the first step of an epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.seconds: list[float] = []
        self._clock = clock
        self._last: float | None = None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last = None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = self._clock()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def train_vs_resident_batch(config: Config, contract: Contract, shards: list[str]) -> list[Figure]:
    """Steps of the training against a plain loop over one batch that stays loaded, and this loop against products of matrices."""
    training = Training(config, contract, shards)
    batch = next(iter(training.batches))
    loop, resident = [], []
    for _ in range(_REPEATS):
        loop.append(statistics.median(training.steps(_STEPS)))
        resident.append(training.resident_step(batch, _STEPS))
    name, reference = config.model.name, "the same model on one batch, plain PyTorch"
    rates = 1 / min(loop), 1 / min(resident)
    return [
        figure(f"train_vs_resident_batch_{name}", rates[0], "steps/s", reference=reference, reference_value=rates[1]),
        _vs_product(name, training, batch, min(resident)),
    ]


def _vs_product(name: str, training: Training, batch: Batch, seconds: float) -> Figure:
    """The products of matrices in a step of the plain loop, by PyTorch's count, against one large product."""
    with FlopCounterMode(display=False) as counter:
        training.module.training_step(batch, 0).backward()
    square = torch.rand(_SQUARE, _SQUARE, device=training.device)
    best = min(_seconds(lambda: square @ square, training.device) for _ in range(20))
    reference = f"a product of two matrices of {_SQUARE} x {_SQUARE}, float32"
    value, reference_value = counter.get_total_flops() / 1e9 / seconds, 2 * _SQUARE**3 / 1e9 / best
    return figure(f"step_vs_product_{name}", value, "GFLOP/s", reference=reference, reference_value=reference_value)


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
