"""Training with Lightning: weighted loss, the best epoch kept, resumed after a kill, the same result for the same seed."""

import logging
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor, distributed

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.contract.results import OUTSIDE_NOTE, Epoch, History, area_mark
from cyclotrain.core.files import atomic, json_sha256
from cyclotrain.core.logs import SHOW
from cyclotrain.data.batches import Batch, Batches, Rank
from cyclotrain.data.shards import read_split
from cyclotrain.data.training_weights import training_weights
from cyclotrain.metrics.roc import Roc
from cyclotrain.networks.devices import gpus
from cyclotrain.networks.registry import Classifier, save_weights
from cyclotrain.networks.source import network_source
from cyclotrain.training.loss import example_losses

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFiles:
    """What a training writes: `weights` at its end, a JSON line in `history` after each epoch, and the folder `checkpoints`."""

    weights: str | Path
    history: str | Path
    checkpoints: str | Path


def train(
    contract: Contract,
    shards: Sequence[str],
    *,
    model: config.ModelConfig,
    training: config.TrainingConfig,
    threads: int,
    files: TrainingFiles,
) -> None:
    """Train on the training split and write the weights of the epoch with the lowest validation loss.

    An interrupted training resumes after its last epoch, from the folder in `checkpoints` named by the fingerprint of contract,
    network and settings; on the same kind of device the result is the same as without the interruption. With several `devices`,
    Lightning starts the calling script again for each device but the first. Only the first process, `rank` 0, writes files.
    Raises RuntimeError if `accelerator: gpu` finds too few GPUs, and ValueError if the validation loss is not finite.
    """
    start = time.monotonic()
    torch.set_num_threads(max(1, threads // training.devices))
    device = _device(training)
    L.seed_everything(contract.seed, verbose=False)
    source = network_source(model.name)
    network = Classifier(contract, model.name, model.options)
    examples = {}
    for split in ("train", "validation"):
        loaded = read_split(shards, contract, split)
        examples[split] = replace(loaded, weight=training_weights(loaded, contract))
    on_device = partial(Batches, layout=contract.layout, device=device, rank=Rank(rank(), training.devices))
    batches = on_device(examples["train"], batch_size=training.batch_size, shuffle_seed=contract.seed)
    validation = on_device(examples["validation"], batch_size=4 * training.batch_size)
    _log.info(
        "training %s with %d parameters on %s: %d examples, %d for validation",
        model.name, sum(p.numel() for p in network.parameters()), _name(device, training.devices), len(examples["train"]),
        len(examples["validation"]), extra=SHOW,
    )  # fmt: skip
    settings = [model.model_dump(), training.model_dump(), threads, torch.__version__]
    fingerprint = json_sha256([contract.to_dict(), source, *settings])
    folder = Path(files.checkpoints) / fingerprint[:16]
    last = folder / "last.ckpt"
    epochs = training.epochs
    if last.exists():
        state = torch.load(last, map_location="cpu", weights_only=False)
        done = state["epoch"] + 1
        if any(callback.get("stopped_epoch") for callback in state["callbacks"].values()):
            epochs = done  # the training had stopped early; Lightning would go on
        _log.info("an earlier training was interrupted; resuming after epoch %d from %s", done, last, extra=SHOW)
    checkpoint = _BestCheckpoint(folder, filename="best", monitor="validation_loss", enable_version_counter=False)
    # not `save_last` of the other, which writes only when the validation loss is the lowest so far
    latest = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    history = _History(Path(files.history), len(examples["train"]), _name(device, training.devices))
    steps = training.epochs * len(batches)
    with warnings.catch_warnings():
        # Where Slurm is installed, Lightning advises srun, which would start the processes of several devices.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        # with `accelerator: cpu`, this is the user's choice
        warnings.filterwarnings("ignore", message="GPU available but not used")
        # _BestCheckpoint sees to it
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        trainer = L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=training.devices,
            strategy="ddp" if training.devices > 1 else "auto",
            # Lightning starts the other processes itself; in a Slurm job it would otherwise expect srun to have done so
            plugins=[LightningEnvironment(), _Checkpoints()],
            max_epochs=epochs,
            deterministic=True,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[
                history,
                EarlyStopping("validation_loss", patience=training.patience, check_finite=True),
                checkpoint,
                latest,  # after the other, whose state it holds
            ],
        )
        # Lightning warns if the checkpoint folder is not empty, as it is when a training resumes.
        warnings.filterwarnings("ignore", message="Checkpoint directory", category=UserWarning)
        try:
            trainer.fit(
                WeightedTraining(network, contract, training=training, steps=steps),
                batches,
                validation,
                ckpt_path=str(last) if last.exists() else None,
            )
        except SystemExit:  # Lightning turns Ctrl-C into it
            raise KeyboardInterrupt from None
    if not trainer.is_global_zero:
        return
    if checkpoint.best_model_score is None or not torch.isfinite(checkpoint.best_model_score):
        raise ValueError(
            "the validation loss is not finite; lower training.learning_rate, or check the sums of weights in dataset.json"
        )
    best = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)
    prefix = "model."
    weights = {name.removeprefix(prefix): value for name, value in best["state_dict"].items() if name.startswith(prefix)}
    save_weights(weights, source, files.weights)
    last.unlink()  # first: with it, but without the best epoch, a training that was killed here could never end
    shutil.rmtree(folder)
    _log.info(
        "kept the epoch with the lowest validation loss, %.5f: epoch %d of %d; %s examples/s, %s in all",
        checkpoint.best_model_score, best["epoch"] + 1, history.n_epochs, f"{history.examples_per_second():,.0f}",
        _duration(time.monotonic() - start),
    )  # fmt: skip


def rank() -> int:
    """The number of this process among those that train together, counted from 0."""
    return LightningEnvironment().local_rank()


def _device(training: config.TrainingConfig) -> torch.device:
    n_gpus = gpus()
    if training.accelerator == "gpu" and n_gpus < training.devices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # set by the batch system
        raise RuntimeError(
            f"training.accelerator is 'gpu' and training.devices is {training.devices}, but PyTorch finds {n_gpus or 'no GPU'}"
            f"{' that Slurm gave to this job' * (n_gpus < torch.cuda.device_count())}"
            f"{f' (CUDA_VISIBLE_DEVICES={visible})' if visible else ''}; use 'auto' or 'cpu', or a machine with enough GPUs"
        )
    return torch.device("cuda", rank()) if training.accelerator != "cpu" and n_gpus else torch.device("cpu")


def _name(device: torch.device, devices: int) -> str:
    """`CPU` or the name of the GPU, with the number of devices if there are several."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return name if devices == 1 else f"{devices} x {name}"


def _gathered(part: Tensor) -> Tensor:
    """The parts of all ranks, one after another, on the CPU."""
    part = part.cpu()
    if not distributed.is_initialized():
        return part
    parts: list[Tensor] = [part] * distributed.get_world_size()
    distributed.all_gather_object(parts, part)
    return torch.cat(parts)


class _BestCheckpoint(ModelCheckpoint):
    """Goes on knowing the best epoch where the folder was moved: Lightning would forget it, and take a later one for the best."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})


class _Checkpoints(TorchCheckpointIO):
    """Checkpoints that are either complete or absent. Lightning writes to /tmp and moves the file. On a cluster /tmp is another
    disk, so the move is a copy, and a job killed during the copy leaves a partial file under the final name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        try:
            with atomic(path) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # torch.save turns Ctrl-C into it
                raise KeyboardInterrupt from None
            raise


class WeightedTraining(L.LightningModule):
    """Weighted cross-entropy with the weights of `data.training_weights`; AdamW with one cycle of the learning rate."""

    def __init__(self, model: Classifier, contract: Contract, *, training: config.TrainingConfig, steps: int) -> None:
        super().__init__()
        self.model = model
        self._training, self._steps = training, steps
        self._signal = contract.classes.index(contract.signal)
        self._seed = contract.seed
        self._validation: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def on_train_epoch_start(self) -> None:
        """Seed by the number of the epoch only, so that a resumed training repeats it."""
        torch.manual_seed((self._seed + self.global_rank) * 1_000_003 + self.current_epoch)
        self.trainer.train_dataloader.epoch = self.current_epoch
        self._losses: list[Tensor] = []

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The weighted mean loss of a batch; over the training split the weights have mean 1."""
        loss_B = example_losses(self.model(batch.branches), batch, label_smoothing=self._training.label_smoothing)
        # DDP averages the gradients over the ranks, whose parts of a batch differ in length
        loss = (loss_B * batch.weight).sum() * self.trainer.world_size / batch.n_all
        self._losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep the values from which the figures of the epoch are computed."""
        logits_BC = self.model(batch.branches)
        self._validation.append(
            (example_losses(logits_BC, batch), batch.weight, torch.softmax(logits_BC, -1)[:, self._signal], batch.label)
        )

    def on_validation_epoch_end(self) -> None:
        """Log the losses, and the area under the ROC curve of signal against all other classes."""
        loss, weight, score, label = (_gathered(torch.cat(part).double()) for part in zip(*self._validation, strict=True))
        self._validation.clear()
        roc = Roc.from_scores(score.numpy(), (label == self._signal).numpy(), weight=weight.numpy())
        values = {
            "train_loss": _gathered(torch.stack(self._losses)).mean(),
            "validation_loss": (loss * weight).sum() / weight.sum(),
            "validation_auc": torch.tensor(roc.auc),
        }
        self.log_dict({name: value.float() for name, value in values.items()})

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle of the learning rate (Smith, Topin 2017) over all epochs."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self._training.learning_rate, weight_decay=self._training.weight_decay
        )
        if self._steps < 3:  # too few for a rise and a fall
            return optimizer
        # the rise takes at least one step: OneCycleLR divides by its length
        rise = max(0.1, 2 / self._steps)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self._training.learning_rate, total_steps=self._steps, pct_start=rise
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _History(Callback):
    """A line for each epoch, in the log and as JSON; the checkpoint holds the lines too, for a resumed training."""

    def __init__(self, path: Path, n_examples: int, device: str) -> None:
        self._path, self._n_examples, self._device = path, n_examples, device
        self._epochs: tuple[Epoch, ...] = ()
        self._start = 0.0

    @property
    def n_epochs(self) -> int:
        return len(self._epochs)

    def examples_per_second(self) -> float:
        """The mean over all epochs, with those before an interruption."""
        return self._n_examples * len(self._epochs) / History(epochs=self._epochs).seconds

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": [epoch.model_dump() for epoch in self._epochs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._epochs = tuple(Epoch(**line) for line in state_dict["epochs"])

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        seconds = time.monotonic() - self._start
        epoch = Epoch(
            epoch=trainer.current_epoch + 1,
            **{name: float(trainer.callback_metrics[name]) for name in ("train_loss", "validation_loss", "validation_auc")},
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            seconds=round(seconds, 3),
            device=self._device,
            time=round(time.time(), 3),
        )
        # validation ends before the checkpoint is written, so the checkpoint holds the line of this epoch
        self._epochs = (*self._epochs, epoch)
        history, total = History(epochs=self._epochs), trainer.max_epochs or 0
        history.write(self._path)
        _log.info(
            "epoch %*d/%d   loss %.4f   validation %.4f   AUC %.4f%s %s %6.0f examples/s   at most %s to go",
            len(str(total)), epoch.epoch, total, epoch.train_loss, epoch.validation_loss, epoch.validation_auc,
            area_mark(epoch.validation_auc), "*" if epoch == history.kept else " ", self._n_examples / seconds,
            _duration(seconds * (total - epoch.epoch)),
            extra=SHOW,
        )  # fmt: skip
        if [epoch] == [other for other in self._epochs if area_mark(other.validation_auc)]:  # the first of its kind
            _log.info(OUTSIDE_NOTE, extra=SHOW)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
