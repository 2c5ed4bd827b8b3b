"""What a training says that cannot go on: a loss that is not finite, too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from cyclotrain import config
from cyclotrain.contract import Layout
from cyclotrain.core.files import atomic
from cyclotrain.data.batches import Batch
from cyclotrain.networks.registry import Model


class FiniteLoss(Callback):
    """Raises ValueError at the first loss that is not finite; saves the batch and the weights before its step in `folder`."""

    def __init__(self, layout: Layout, folder: Path) -> None:
        self._layout, self._path = layout, folder / "not_finite.pt"
        self._batch: Batch | None = None
        self._loss = torch.zeros(())
        self._is_copied: torch.cuda.Event | None = None

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int) -> None:
        """Keep the batch."""
        self._batch = batch

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Take the loss; from a GPU as a copy that is ready while the GPU is busy with the gradient, so that it need not wait."""
        if loss.is_cuda:
            self._loss = torch.empty((), dtype=loss.dtype, pin_memory=True).copy_(loss.detach(), non_blocking=True)
            self._is_copied = torch.cuda.Event()
            self._is_copied.record()
        else:
            self._loss = loss.detach()

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the loss before the weights change."""
        if self._is_copied:
            self._is_copied.synchronize()
        if not torch.isfinite(self._loss):
            batch = f"batch {trainer.fit_loop.epoch_loop.batch_idx + 1} of {trainer.num_training_batches}"
            self._fail(trainer, pl_module, f"the loss is not finite in epoch {trainer.current_epoch + 1}, {batch}")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the loss of the validation split."""
        if not torch.isfinite(trainer.callback_metrics["validation_loss"]):
            self._fail(trainer, pl_module, f"the validation loss is not finite after epoch {trainer.current_epoch + 1}")

    def _fail(self, trainer: L.Trainer, module: Any, what: str) -> None:
        batch = self._batch
        assert batch is not None
        model: Model = module.model
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(self._path) as temporary:
            torch.save({"weights": model.state_dict(), **batch._asdict()}, temporary)
        rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        raise ValueError(
            f"{what}, at a learning rate of {rate:.3g}. {_largest_weight(model)}; "
            f"{self._largest_feature(model, batch)}; the largest training weight of an example is "
            f"{float(batch.weight.abs().max()):.4g}. The weights of the network and the last batch are in {self._path}. Lower "
            "training.learning_rate, set training.gradient_clipping, or set 'clip' of the inputs; if an example has a large "
            "weight, look at 'weight' and 'flatten'"
        )

    @torch.no_grad()
    def _largest_feature(self, model: Model, batch: Batch) -> str:
        largest, name, index = float("-inf"), "", 0
        for key, x in model.features(batch.branches).features.items():
            by_feature = x.flatten(0, -2).abs().amax(0)
            value = float(by_feature.max())
            if not value <= largest:  # NaN too
                largest, name, index = value, key, int(by_feature.argmax())
        return (
            f"the largest feature of the last batch is {largest:.4g} (inputs.{name}: {self._layout.sets[name].features[index]})"
        )


def _largest_weight(model: torch.nn.Module) -> str:
    largest = {name: float(parameter.detach().abs().max()) for name, parameter in model.named_parameters() if parameter.numel()}
    not_finite = [name for name, value in largest.items() if not value < float("inf")]
    if not_finite:
        return f"{len(not_finite)} of {len(largest)} weights of the network are not finite before it, among them {not_finite[0]}"
    name = max(largest, key=lambda key: largest[key])
    return f"The largest weight of the network before it is {largest[name]:.4g} ({name})"


@contextmanager
def memory_explained(model: config.ModelConfig, training: config.TrainingConfig, device: str) -> Iterator[None]:
    """Say what to lower if memory is short: an error of PyTorch says only how much it asked for."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        half = max(1, training.batch_size // 2)
        raise RuntimeError(
            f"out of memory on {device}: network '{model.name}' with model.options {model.options or '{}'}, batches of "
            f"{training.batch_size} examples in training and {4 * training.batch_size} in validation. Lower training.batch_size: "
            f"'batch_size: {half}' with 'accumulate: {2 * training.accumulate}' makes the same steps in half of the memory. Or "
            f"make the network or 'max_length' of the inputs smaller. ({str(error).splitlines()[0]})"
        ) from error
