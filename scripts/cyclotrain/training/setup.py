"""What a training and a test of learning rates begin with: examples with their weights, the network, Lightning's trainer."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.data.batches import Batches, Rank, Shuffle
from cyclotrain.data.shards import Examples, read_split
from cyclotrain.data.training_weights import training_weights
from cyclotrain.networks.registry import Model
from cyclotrain.training.callbacks import AtomicCheckpoints
from cyclotrain.training.machine import rank

_PRECISIONS: Mapping[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float16": "16-mixed",
}
_log = logging.getLogger(__name__)


def make_network(contract: Contract, model: config.ModelConfig, training: config.TrainingConfig, device: torch.device) -> Model:
    """The model with weights drawn from the seed of the contract."""
    L.seed_everything(contract.seed, verbose=False)
    network = Model(contract, model.name, model.options)
    if training.compile and device.type == "cuda":
        network.compile(dynamic=True)
    elif training.compile:
        _log.warning("training.compile: the network is not compiled, because there is no GPU")
    return network


def weighted_examples(contract: Contract, shards: Sequence[str], split: str) -> Examples:
    """The examples of a split, with the weights of the training."""
    examples = read_split(shards, contract, split)
    return replace(examples, weight=training_weights(examples, contract))


def training_batches(examples: Examples, contract: Contract, training: config.TrainingConfig, device: torch.device) -> Batches:
    """The shuffled batches of the training split; this process takes its part of each."""
    shuffle = Shuffle(contract.seed, bucket=training.bucket, accumulate=training.accumulate)
    own = Rank(rank(), training.devices)
    return Batches(examples, contract.layout, training.batch_size, device=device, shuffle=shuffle, rank=own)


def make_trainer(training: config.TrainingConfig, device: torch.device, **arguments: Any) -> L.Trainer:
    """Lightning's trainer as the config asks for it, with more arguments."""
    return L.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=training.devices,
        strategy="ddp" if training.devices > 1 else "auto",
        # Lightning starts the other processes itself; in a Slurm job it would otherwise expect srun to have done so
        plugins=[LightningEnvironment(), AtomicCheckpoints()],
        precision=_PRECISIONS[training.precision],
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.gradient_clipping,
        deterministic=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **arguments,
    )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Without warnings of Lightning on which nobody need act."""
    with warnings.catch_warnings():
        for message in (
            "The `srun` command is available",  # it would start the processes of several devices
            "GPU available but not used",  # with `accelerator: cpu`, this is the user's choice
            "The dirpath has changed",  # BestCheckpoint sees to it
            "It is recommended to use `self.log",  # all processes log the same numbers, of all examples
            "You defined a `validation_step`",  # a scan of learning rates needs none
            "Checkpoint directory",  # is not empty, as it is when a training resumes
        ):
            warnings.filterwarnings("ignore", message=message)
        yield
