"""Training with Lightning: weighted loss, the best epoch kept, resumed after a kill, the same result for the same seed."""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.files import json_sha256
from cyclotrain.core.logs import SHOW
from cyclotrain.core.memory import keep_freed_memory
from cyclotrain.data.batches import Batches, Rank
from cyclotrain.networks.registry import SavedWeights
from cyclotrain.networks.source import network_source
from cyclotrain.training.callbacks import AveragedWeights, BestCheckpoint, HistoryOfEpochs, duration
from cyclotrain.training.decorrelation import Decorrelation
from cyclotrain.training.failures import FiniteLoss, memory_explained
from cyclotrain.training.fine_tuning import begin_with_parent
from cyclotrain.training.machine import device_name, rank, training_device
from cyclotrain.training.setup import make_network, make_trainer, quiet_lightning, training_batches, weighted_examples
from cyclotrain.training.step import WeightedTraining
from cyclotrain.training.temperature import temperature_of
from cyclotrain.training.usage import Meter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFiles:
    """What a training writes: `weights` at its end, a JSON line in `history` after each epoch, and the folder `checkpoints`.

    It reads `parent`, the weights that it begins with, if any.
    """

    weights: str | Path
    history: str | Path
    checkpoints: str | Path
    parent: str | Path | None = None


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
    keep_freed_memory()
    device = training_device(training)
    name = device_name(device, training.devices)
    network = make_network(contract, model, training, device)
    parent = None
    if files.parent:
        parent = begin_with_parent(network, files.parent, contract=contract, model=model, training=training)
    examples = weighted_examples(contract, shards, "train")
    if training.decorrelate:
        Decorrelation(training.decorrelate, contract).check(examples)
    batches = training_batches(examples, contract, training, device)
    of_validation = partial(
        Batches, weighted_examples(contract, shards, "validation"), contract.layout, 4 * training.batch_size, device=device
    )
    validation = of_validation(rank=Rank(rank(), training.devices))
    _log.info(
        "training %s with %d parameters on %s: %d examples, %d for validation",
        model.name, sum(p.numel() for p in network.parameters()), name, batches.n, validation.n, extra=SHOW,
    )  # fmt: skip
    source = network_source(model.name)
    settings = [model.model_dump(), training.model_dump(), parent, threads, torch.__version__]
    fingerprint = json_sha256([contract.to_dict(), source, *settings])
    folder = Path(files.checkpoints) / fingerprint[:16]
    last = folder / "last.ckpt"
    checkpoint = BestCheckpoint(folder, filename="best", monitor="validation_loss", enable_version_counter=False)
    history = HistoryOfEpochs(Path(files.history), batches.n, name, Meter(device))
    callbacks = [
        FiniteLoss(contract.layout, folder),
        history,
        *([AveragedWeights(training.ema)] if training.ema else []),
        EarlyStopping("validation_loss", patience=training.patience),
        checkpoint,
        # not `save_last` of the other, which writes only when the validation loss is the lowest so far; after it, as it holds
        # its state
        ModelCheckpoint(folder, filename="last", enable_version_counter=False),
    ]
    steps = training.epochs * -(-len(batches) // training.accumulate)
    module = WeightedTraining(network, contract, training=training, steps=steps)
    with quiet_lightning():
        trainer = make_trainer(training, device, max_epochs=_epochs(last, training), callbacks=callbacks)
        try:
            with memory_explained(model, training, name):
                trainer.fit(module, batches, validation, ckpt_path=str(last) if last.exists() else None)
        except SystemExit:  # Lightning turns Ctrl-C into it
            raise KeyboardInterrupt from None
    if not trainer.is_global_zero:
        return
    assert checkpoint.best_model_score is not None
    best = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=True)
    prefix = "model."
    weights = {name.removeprefix(prefix): value for name, value in best["state_dict"].items() if name.startswith(prefix)}
    temperature = None
    if training.calibrate == "temperature":
        network.load_state_dict(weights)
        temperature = temperature_of(network.to(device).eval(), of_validation(), n_classes=len(contract.classes))
    SavedWeights(weights, source, contract, parent, temperature).write(files.weights)
    last.unlink()  # first: with it, but without the best epoch, a training that was killed here could never end
    shutil.rmtree(folder)
    _log.info(
        "kept the epoch with the lowest validation loss, %.5f: epoch %d of %d; %s examples/s, %s in all",
        checkpoint.best_model_score, best["epoch"] + 1, history.n_epochs, f"{history.examples_per_second():,.0f}",
        duration(time.monotonic() - start),
    )  # fmt: skip


def _epochs(last: Path, training: config.TrainingConfig) -> int:
    """The number of epochs to train, with those of an interrupted training whose checkpoint is `last`."""
    if not last.exists():
        return training.epochs
    state = torch.load(last, map_location="cpu", weights_only=False)
    done: int = state["epoch"] + 1
    _log.info("an earlier training was interrupted; resuming after epoch %d from %s", done, last, extra=SHOW)
    has_stopped = any(callback.get("stopped_epoch") for callback in state["callbacks"].values())
    return done if has_stopped else training.epochs  # Lightning would go on after an early stop
