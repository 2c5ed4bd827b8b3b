"""Training with Lightning: weighted loss, the best epoch kept, resumed after a kill, the same result for the same seed."""

import logging
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.environments import LightningEnvironment

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.files import json_sha256
from cyclotrain.core.logs import SHOW
from cyclotrain.data.batches import Batches, Rank, Shuffle
from cyclotrain.data.shards import read_split
from cyclotrain.data.training_weights import training_weights
from cyclotrain.networks.registry import Classifier, save_weights
from cyclotrain.networks.source import network_source
from cyclotrain.training.callbacks import AtomicCheckpoints, AveragedWeights, BestCheckpoint, HistoryOfEpochs, duration
from cyclotrain.training.failures import FiniteLoss, memory_explained
from cyclotrain.training.machine import device_name, rank, training_device
from cyclotrain.training.step import WeightedTraining

_PRECISIONS: Mapping[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}
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
    Raises RuntimeError if `accelerator: gpu` finds too few GPUs or memory is short, and ValueError if a loss is not
    finite.
    """
    start = time.monotonic()
    torch.set_num_threads(max(1, threads // training.devices))
    device = training_device(training)
    L.seed_everything(contract.seed, verbose=False)
    source = network_source(model.name)
    network = Classifier(contract, model.name, model.options)
    if training.compile and device.type == "cuda":
        network.compile(dynamic=True)
    elif training.compile:
        _log.warning("training.compile: the network is not compiled, because there is no GPU")
    examples = {}
    for split in ("train", "validation"):
        loaded = read_split(shards, contract, split)
        examples[split] = replace(loaded, weight=training_weights(loaded, contract))
    on_device = partial(Batches, layout=contract.layout, device=device, rank=Rank(rank(), training.devices))
    shuffle = Shuffle(contract.seed, bucket=training.bucket, accumulate=training.accumulate)
    batches = on_device(examples["train"], batch_size=training.batch_size, shuffle=shuffle)
    validation = on_device(examples["validation"], batch_size=4 * training.batch_size)
    _log.info(
        "training %s with %d parameters on %s: %d examples, %d for validation",
        model.name, sum(p.numel() for p in network.parameters()), device_name(device, training.devices), len(examples["train"]),
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
    checkpoint = BestCheckpoint(folder, filename="best", monitor="validation_loss", enable_version_counter=False)
    # not `save_last` of the other, which writes only when the validation loss is the lowest so far
    latest = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    history = HistoryOfEpochs(Path(files.history), len(examples["train"]), device_name(device, training.devices))
    steps = training.epochs * -(-len(batches) // training.accumulate)
    with warnings.catch_warnings():
        # Where Slurm is installed, Lightning advises srun, which would start the processes of several devices.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        # with `accelerator: cpu`, this is the user's choice
        warnings.filterwarnings("ignore", message="GPU available but not used")
        # BestCheckpoint sees to it
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        trainer = L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=training.devices,
            strategy="ddp" if training.devices > 1 else "auto",
            # Lightning starts the other processes itself; in a Slurm job it would otherwise expect srun to have done so
            plugins=[LightningEnvironment(), AtomicCheckpoints()],
            max_epochs=epochs,
            precision=_PRECISIONS[training.precision],
            accumulate_grad_batches=training.accumulate,
            gradient_clip_val=training.gradient_clipping,
            deterministic=True,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[
                FiniteLoss(contract.layout, folder),
                history,
                *([AveragedWeights(training.ema)] if training.ema else []),
                EarlyStopping("validation_loss", patience=training.patience),
                checkpoint,
                latest,  # after the other, whose state it holds
            ],
        )
        # Lightning warns if the checkpoint folder is not empty, as it is when a training resumes.
        warnings.filterwarnings("ignore", message="Checkpoint directory", category=UserWarning)
        try:
            with memory_explained(model, training, device_name(device, training.devices)):
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
    assert checkpoint.best_model_score is not None
    best = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)
    prefix = "model."
    weights = {name.removeprefix(prefix): value for name, value in best["state_dict"].items() if name.startswith(prefix)}
    save_weights(weights, source, files.weights)
    last.unlink()  # first: with it, but without the best epoch, a training that was killed here could never end
    shutil.rmtree(folder)
    _log.info(
        "kept the epoch with the lowest validation loss, %.5f: epoch %d of %d; %s examples/s, %s in all",
        checkpoint.best_model_score, best["epoch"] + 1, history.n_epochs, f"{history.examples_per_second():,.0f}",
        duration(time.monotonic() - start),
    )  # fmt: skip
