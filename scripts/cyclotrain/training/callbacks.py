"""What happens around the epochs: history, checkpoints, averaged weights."""

import logging
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cyclotrain.contract.results import OUTSIDE_NOTE, Epoch, History, area_mark
from cyclotrain.core.files import atomic
from cyclotrain.core.logs import SHOW
from cyclotrain.training.step import OUTPUT_LOSS
from cyclotrain.training.usage import Meter

_log = logging.getLogger(__name__)


class AveragedWeights(WeightAveraging):
    """An exponential moving average of weights and buffers over the steps: it is validated, and kept.

    The average of this function is torch.lerp, which does not round a buffer that stays the same, such as the mean of a feature.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))
        self._infinite: list[tuple[Tensor, Tensor]] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Make the average; it starts as a copy."""
        super().setup(trainer, pl_module, stage)
        assert self._average_model is not None
        buffers = zip(self._average_model.module.buffers(), pl_module.buffers(), strict=True)
        self._infinite = [(average, now) for average, now in buffers if not torch.isfinite(now).all()]

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the weights after a step into the average."""
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        for average, now in self._infinite:  # a mask with -inf, whose average would be NaN
            average.copy_(now)


class BestCheckpoint(ModelCheckpoint):
    """Goes on knowing the best epoch where the folder was moved: Lightning would forget it, and take a later one for the best."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The state, with the folder as it is now."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are either complete or absent. Lightning writes to /tmp and moves the file. On a cluster /tmp is another
    disk, so the move is a copy, and a job killed during the copy leaves a partial file under the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write under a temporary name, then rename."""
        try:
            with atomic(path) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # torch.save turns Ctrl-C into it
                raise KeyboardInterrupt from None
            raise


class HistoryOfEpochs(Callback):
    """A line for each epoch, in the log and as JSON; the checkpoint holds the lines too, for a resumed training."""

    def __init__(self, path: Path, n_examples: int, device: str, meter: Meter) -> None:
        self._path, self._n_examples, self._device, self._meter = path, n_examples, device, meter
        self._epochs: tuple[Epoch, ...] = ()
        self._start = 0.0

    @property
    def n_epochs(self) -> int:
        """The number of epochs so far."""
        return len(self._epochs)

    def examples_per_second(self) -> float:
        """The mean over all epochs, with those before an interruption."""
        return self._n_examples * len(self._epochs) / History(epochs=self._epochs).seconds

    def state_dict(self) -> dict[str, Any]:
        """The lines so far."""
        return {"epochs": [epoch.model_dump() for epoch in self._epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The lines before an interruption."""
        self._epochs = tuple(Epoch(**line) for line in state_dict["epochs"])

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._meter.start()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the line of this epoch."""
        if not trainer.is_global_zero:
            return
        seconds = time.monotonic() - self._start
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = Epoch(
            epoch=trainer.current_epoch + 1,
            train_loss=metrics["train_loss"],
            validation_loss=metrics["validation_loss"],
            validation_auc=metrics.get("validation_auc"),
            validation_losses={
                name.removeprefix(OUTPUT_LOSS): value for name, value in metrics.items() if name.startswith(OUTPUT_LOSS)
            },
            learning_rate=max(group["lr"] for group in trainer.optimizers[0].param_groups),
            seconds=round(seconds, 3),
            device=self._device,
            time=round(time.time(), 3),
            usage=self._meter.read(),
        )
        # validation ends before the checkpoint is written, so the checkpoint holds the line of this epoch
        self._epochs = (*self._epochs, epoch)
        history, total = History(epochs=self._epochs), trainer.max_epochs or 0
        history.write(self._path)
        _log.info(
            "epoch %*d/%d   loss %.4f   validation %.4f   %s %s %6.0f examples/s   at most %s to go",
            len(str(total)), epoch.epoch, total, epoch.train_loss, epoch.validation_loss, _figures(epoch),
            "*" if epoch == history.kept else " ", self._n_examples / seconds, duration(seconds * (total - epoch.epoch)),
            extra=SHOW,
        )  # fmt: skip
        if [epoch] == [other for other in self._epochs if _auc_mark(other)]:  # the first of its kind
            _log.info(OUTSIDE_NOTE, extra=SHOW)


def _auc_mark(epoch: Epoch) -> str:
    return "" if epoch.validation_auc is None else area_mark(epoch.validation_auc)


def _figures(epoch: Epoch) -> str:
    """The area under the ROC curve, or the validation losses of the outputs if there are no classes."""
    if epoch.validation_auc is None:
        return "   ".join(f"{name} {loss:.4f}" for name, loss in epoch.validation_losses.items())
    return f"AUC {epoch.validation_auc:.4f}{_auc_mark(epoch)}"


def duration(seconds: float) -> str:
    """In words: `2 min 05 s`."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
