"""Training with Lightning: weighted loss, the best epoch kept, resumed where it was killed, the same for the same seed."""

import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor, distributed
from torch.nn import functional as F

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.files import atomic, json_sha256
from cyclotrain.data.batches import Batch, Batches
from cyclotrain.data.shards import read_split
from cyclotrain.data.training_weights import training_weights
from cyclotrain.metrics.roc import Roc
from cyclotrain.networks.devices import gpus
from cyclotrain.networks.registry import Classifier

_log = logging.getLogger(__name__)


def train(
    contract: Contract,
    shards: Sequence[str],
    model: config.ModelConfig,
    training: config.TrainingConfig,
    threads: int,
    weights: str | Path,
    history: str | Path,
    checkpoints: str | Path,
) -> None:
    """Train on the training split and write the weights of the epoch with the lowest validation loss.

    An interrupted training goes on from its last epoch, found under `checkpoints` by the fingerprint of contract and
    settings; on the same kind of device the result is the same as without. `history` gets a JSON line an epoch, as it happens.
    With several `devices` Lightning starts the script that calls this anew for each but the first, `rank` 0, which alone writes.
    Raises RuntimeError for `accelerator: gpu` where there are too few, and ValueError if the loss is not finite.
    """
    torch.set_num_threads(max(1, threads // training.devices))
    device = _device(training)
    L.seed_everything(contract.seed, verbose=False)
    network = Classifier(contract, model.name, model.options)
    examples = {}
    for split in ("train", "validation"):
        of_split = read_split(shards, contract, split)
        examples[split] = replace(of_split, weight=training_weights(of_split, contract))
    part = partial(Batches, layout=contract.layout, device=device, rank=Rank(rank(), training.devices))
    batches = part(examples["train"], batch_size=training.batch_size, shuffle_seed=contract.seed)
    validation = part(examples["validation"], batch_size=4 * training.batch_size)
    _log.info(
        "training %s with %d parameters on %s: %d examples, %d for validation",
        model.name, sum(p.numel() for p in network.parameters()), _name(device, training.devices), len(examples["train"]),
        len(examples["validation"]),
    )  # fmt: skip
    fingerprint = json_sha256([contract.to_dict(), model.model_dump(), training.model_dump(), threads, torch.__version__])
    folder = Path(checkpoints) / fingerprint[:16]
    last = folder / "last.ckpt"
    if last.exists():
        done = torch.load(last, map_location="cpu", weights_only=False)["epoch"] + 1
        _log.info("an earlier try was interrupted: goes on after epoch %d, from %s", done, last)
    checkpoint = ModelCheckpoint(folder, filename="best", monitor="validation_loss", save_last=True, enable_version_counter=False)
    steps = training.epochs * len(batches)
    with warnings.catch_warnings():
        # Where Slurm is installed, Lightning asks for srun, which would start the processes of several devices.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        # with `accelerator: cpu`, that is what was asked for
        warnings.filterwarnings("ignore", message="GPU available but not used")
        trainer = L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=training.devices,
            strategy="ddp" if training.devices > 1 else "auto",
            # it starts the other processes itself; in a job of Slurm's it would expect srun to have done so
            plugins=[LightningEnvironment(), _Checkpoints()],
            max_epochs=training.epochs,
            deterministic=True,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[
                _History(Path(history), len(examples["train"]), _name(device, training.devices)),
                EarlyStopping("validation_loss", patience=training.patience, check_finite=True),
                checkpoint,
            ],
        )
        # Lightning warns of a checkpoint folder that is not empty: ours is not when a training is resumed.
        warnings.filterwarnings("ignore", message="Checkpoint directory", category=UserWarning)
        trainer.fit(
            WeightedTraining(network, contract, training, steps),
            batches,
            validation,
            ckpt_path=str(last) if last.exists() else None,
        )
    if not trainer.is_global_zero:
        return
    if checkpoint.best_model_score is None or not torch.isfinite(checkpoint.best_model_score):
        raise ValueError(
            "the validation loss is not finite; lower training.learning_rate, or look at the weights in the receipts"
        )
    best = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "model."
    # through an open file, as torch.save writes the name of a path, here with a process number, into the archive
    with atomic(weights) as temporary, temporary.open("wb") as file:
        torch.save({name.removeprefix(prefix): value for name, value in best.items() if name.startswith(prefix)}, file)
    _log.info("kept the epoch with validation loss %.5f", checkpoint.best_model_score)
    shutil.rmtree(folder)


def rank() -> int:
    """The number of this process among those that train together, from 0."""
    return LightningEnvironment().local_rank()


def _device(training: config.TrainingConfig) -> torch.device:
    found = gpus()
    if training.accelerator == "gpu" and found < training.devices:
        given = os.environ.get("CUDA_VISIBLE_DEVICES")  # by the batch system
        raise RuntimeError(
            f"training.accelerator is 'gpu' and training.devices is {training.devices}, and PyTorch finds {found or 'none'}"
            f"{' that Slurm gave this job' * (found < torch.cuda.device_count())}"
            f"{f' (CUDA_VISIBLE_DEVICES={given})' if given else ''}; use 'auto' or 'cpu', or a machine with as many GPUs"
        )
    return torch.device("cuda", rank()) if training.accelerator != "cpu" and found else torch.device("cpu")


def _name(device: torch.device, devices: int) -> str:
    """`CPU`, or what a GPU's maker calls it, and how many there are if more than one."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return name if devices == 1 else f"{devices} x {name}"


def _of_all(part: Tensor) -> Tensor:
    """The parts of all processes that train together, one after another, on the CPU."""
    part = part.cpu()
    if not distributed.is_initialized():
        return part
    parts: list[Tensor] = [part] * distributed.get_world_size()
    distributed.all_gather_object(parts, part)
    return torch.cat(parts)


class _Checkpoints(TorchCheckpointIO):
    """Files that are whole or not there. Lightning moves them from /tmp, which on a cluster is another disk: the move is a copy,
    and a job that is killed in it leaves a part under the file's name.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with atomic(path) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)


class WeightedTraining(L.LightningModule):
    """Weighted cross-entropy, with the weights of `balance.training_weights`; AdamW, one cycle of the learning rate."""

    def __init__(self, model: Classifier, contract: Contract, training: config.TrainingConfig, steps: int) -> None:
        super().__init__()
        self.model = model
        self._training, self._steps = training, steps
        self._signal = contract.classes.index(contract.signal)
        self._seed = contract.seed
        self._validation: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits_BC = self.model(batch.branches)
        return F.cross_entropy(logits_BC, batch.label, reduction="none"), logits_BC

    def on_train_epoch_start(self) -> None:
        """Make an epoch depend on its number alone, so that a resumed training repeats it."""
        torch.manual_seed((self._seed + self.global_rank) * 1_000_003 + self.current_epoch)
        self.trainer.train_dataloader.epoch = self.current_epoch
        self._losses: list[Tensor] = []

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The mean weighted loss of a batch; weights have mean 1 over the training split."""
        loss_B, _logits = self._loss(batch)
        # DDP takes the mean of the gradients over the processes, whose parts of a batch differ in length
        loss = (loss_B * batch.weight).sum() * self.trainer.world_size / batch.n_all
        self._losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep what the epoch's figures need."""
        loss_B, logits_BC = self._loss(batch)
        self._validation.append((loss_B, batch.weight, torch.softmax(logits_BC, -1)[:, self._signal], batch.label))

    def on_validation_epoch_end(self) -> None:
        """Log the weighted validation loss, and the area under the ROC curve of signal against the rest."""
        loss, weight, score, label = (_of_all(torch.cat(part).double()) for part in zip(*self._validation, strict=True))
        self._validation.clear()
        roc = Roc.from_scores(score.numpy(), (label == self._signal).numpy(), weight=weight.numpy())
        values = {
            "train_loss": _of_all(torch.stack(self._losses)).mean(),
            "validation_loss": (loss * weight).sum() / weight.sum(),
            "validation_auc": torch.tensor(roc.auc),
        }
        self.log_dict({name: value.float() for name, value in values.items()})

    def configure_optimizers(self) -> Any:
        """AdamW, and one cycle of the learning rate (Smith, Topin 2017) over all epochs."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self._training.learning_rate, weight_decay=self._training.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self._training.learning_rate, total_steps=self._steps, pct_start=0.1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _History(Callback):
    """A line an epoch, in the log for people and as JSON for programs; kept in the checkpoint for a resumed training."""

    def __init__(self, path: Path, n_examples: int, device: str) -> None:
        self._path, self._n_examples, self._device = path, n_examples, device
        self._epochs: list[dict[str, float]] = []
        self._start = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self._epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._epochs = state_dict["epochs"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        seconds = time.monotonic() - self._start
        epoch, metrics = trainer.current_epoch + 1, trainer.callback_metrics
        line = {
            "epoch": epoch,
            **{name: float(metrics[name]) for name in ("train_loss", "validation_loss", "validation_auc")},
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(seconds, 3),
            "device": self._device,
            "time": round(time.time(), 3),
        }
        # validation stands before the checkpoint, so that the checkpoint holds this epoch's line
        self._epochs = [*self._epochs, line]
        with atomic(self._path) as temporary:
            temporary.write_text("".join(json.dumps(each) + "\n" for each in self._epochs))
        best = min(each["validation_loss"] for each in self._epochs)
        total = trainer.max_epochs or 0
        _log.info(
            "epoch %*d/%d   loss %.4f   validation %.4f   AUC %.4f %s %6.0f examples/s   at most %s to go",
            len(str(total)), epoch, total, line["train_loss"], line["validation_loss"], line["validation_auc"],
            "*" if line["validation_loss"] == best else " ", self._n_examples / seconds, _duration(seconds * (total - epoch)),
        )  # fmt: skip


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
