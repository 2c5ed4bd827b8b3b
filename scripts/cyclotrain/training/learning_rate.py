"""A scan of learning rates (Smith 2015, https://arxiv.org/abs/1506.01186): the loss, while the rate rises from step to step."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.contract.results import LearningRateScan
from cyclotrain.core.logs import SHOW
from cyclotrain.core.memory import keep_freed_memory
from cyclotrain.training.failures import memory_explained
from cyclotrain.training.fine_tuning import begin_with_parent, with_learning_rate_factors
from cyclotrain.training.machine import device_name, training_device
from cyclotrain.training.optimizers import make_optimizer
from cyclotrain.training.setup import make_network, make_trainer, quiet_lightning, training_batches, weighted_examples
from cyclotrain.training.step import WeightedTraining

_SMALLEST, _LARGEST = 1e-6, 1.0
_STEPS = 200
_SMOOTHING = 0.9  # decay of the average of the loss over steps
_DIVERGED = 4.0  # times the lowest loss, where the scan ends
_MARGIN = 10  # between the rate of the lowest loss, at the edge of divergence, and the one that is suggested
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScanFiles:
    """What a scan writes, and the weights that it begins with, if any."""

    scan: str | Path
    parent: str | Path | None = None


def find_learning_rate(
    contract: Contract,
    shards: Sequence[str],
    *,
    model: config.ModelConfig,
    training: config.TrainingConfig,
    threads: int,
    files: ScanFiles,
) -> None:
    """Write the loss, averaged over steps, for rates that rise exponentially, and a rate to try. On one device.

    Lightning's tuner is not used: its average halves the first losses, and it gives all groups of Muon the same rate. Raises
    ValueError if the loss never falls.
    """
    training = training.model_copy(update={"devices": 1})
    torch.set_num_threads(threads)
    keep_freed_memory()
    device = training_device(training)
    network = make_network(contract, model, training, device)
    if files.parent:
        begin_with_parent(network, files.parent, contract=contract, model=model, training=training)
    batches = training_batches(weighted_examples(contract, shards, "train"), contract, training, device)
    losses = _Losses()
    with quiet_lightning(), memory_explained(model, training, device_name(device)):
        trainer = make_trainer(training, device, max_steps=_STEPS, callbacks=[losses], enable_checkpointing=False)
        trainer.fit(_Scan(network, contract, training=training, steps=_STEPS), batches)
    averages = losses.averages
    lowest = averages.index(min(averages))
    if lowest == 0:
        raise ValueError(
            f"the loss is lowest at the smallest learning rate, {_SMALLEST:g}; look at the weights of the events and at the "
            "features, or choose another optimiser"
        )
    scan = LearningRateScan(
        rates=tuple(map(_rate, range(len(averages)))),
        losses=tuple(averages),
        suggested=float(f"{_rate(lowest) / _MARGIN:.1g}"),
        optimizer=training.optimizer,
        batch_size=training.batch_size * training.accumulate,
    )
    scan.write(files.scan)
    _log.info("suggested learning_rate: %g (in the config: %g)", scan.suggested, training.learning_rate, extra=SHOW)


def _rate(step: int) -> float:
    return float(_SMALLEST * (_LARGEST / _SMALLEST) ** (step / (_STEPS - 1)))


class _Scan(WeightedTraining):
    """Training with the rate of the step."""

    def configure_optimizers(self) -> Any:
        """The optimiser of the training; groups of parameters keep the ratio of their rates."""
        optimizer = make_optimizer(self.model, self.training_config)
        with_learning_rate_factors(optimizer, self.model.network, self.training_config.learning_rate_factors)
        largest = self.training_config.learning_rate
        schedule = LambdaLR(optimizer, lambda step: _rate(step) / largest)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Losses(Callback):
    """The average loss after each step of the optimiser; stops where it has diverged."""

    def __init__(self) -> None:
        self.averages: list[float] = []
        self._sum = 0.0
        self._of_batches: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the loss of a step, which is over its batches."""
        assert isinstance(pl_module, WeightedTraining)
        self._of_batches.append(pl_module.losses[-1])
        if trainer.global_step == len(self.averages):
            return
        loss = float(torch.stack(self._of_batches).mean())
        self._of_batches.clear()
        self._sum = _SMOOTHING * self._sum + (1 - _SMOOTHING) * loss
        average = self._sum / (1 - _SMOOTHING ** (len(self.averages) + 1))
        if math.isfinite(average):
            self.averages.append(average)
        trainer.should_stop = not math.isfinite(average) or average > _DIVERGED * min(self.averages)
