"""The training by epoch, and the test of learning rates. Rules `train` and `scan_learning_rates`."""

import json
from pathlib import Path
from typing import Self

from pydantic import Field

from cyclotrain.contract.results.base import Frozen, Result
from cyclotrain.core.files import atomic, read_json_lines


class Usage(Frozen):
    """What an epoch took of the machine; of the first process, if several train together.

    cpu_cores: the mean number of cores that computed; memory_mb: the largest memory of the process so far; gpu_memory_mb: the
    largest that PyTorch reserved on its GPU; batch_job: such as `Slurm 123`, if it was one.
    """

    cpu_cores: float
    memory_mb: int
    gpu_memory_mb: int | None = None
    batch_job: str | None = None


class Epoch(Frozen):
    """One pass over the training split; losses are weighted, `time` is its end in seconds since 1970.

    validation_auc: None without classes. validation_losses: by output, if there are several, over the examples that have it.
    usage: None in files of older versions.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    validation_auc: float | None
    validation_losses: dict[str, float] = Field({})
    learning_rate: float
    seconds: float
    device: str
    time: float
    usage: Usage | None = None


class History(Frozen):
    """history.jsonl: a line an epoch."""

    epochs: tuple[Epoch, ...]

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights are exported."""
        return min(self.epochs, key=lambda epoch: epoch.validation_loss)

    @property
    def seconds(self) -> float:
        """Of all epochs together."""
        return sum(epoch.seconds for epoch in self.epochs)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the file."""
        return cls(epochs=tuple(Epoch.model_validate(line) for line in read_json_lines(path)))

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        with atomic(path) as temporary:
            temporary.write_text("".join(json.dumps(epoch.model_dump()) + "\n" for epoch in self.epochs))


class LearningRateScan(Result):
    """The loss, averaged over steps, at learning rates that rise from step to step, and a rate to try."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float
    optimizer: str
    batch_size: int  # examples in a step of the optimiser
