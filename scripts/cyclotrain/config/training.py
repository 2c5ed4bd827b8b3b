"""`training:`: how the network is trained."""

from typing import Literal

from pydantic import Field, model_validator

from cyclotrain.config.base import Section


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: int = Field(20, ge=1, description="Maximum number of passes over the training split.")
    patience: int = Field(5, ge=1, description="Stop after this number of epochs without a lower validation loss.")
    batch_size: int = Field(512, ge=1, description="Examples per step.")
    learning_rate: float = Field(1e-3, gt=0, description="Largest learning rate, reached after a tenth of the steps.")
    weights: Literal["physics", "none"] = Field(
        "physics",
        description="Weights of the events in training and validation: `physics`, as `weight` and the cross sections give them, "
        "or `none`, the same for all events (docs/training.md). `balance` and `flatten` act in both cases. The boosted trees use "
        "the same; figures of the test split always use the physics weights.",
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of each example's wanted probability that goes to all classes alike, in training only: 0.1 makes the "
        "network less sure. The validation loss is without it, so that it can be compared.",
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="`auto` uses a GPU if there is one; `gpu` fails if there is none."
    )
    devices: int = Field(
        1,
        ge=1,
        description="Number of GPUs on one machine that train together, each on a part of every batch (DDP); with "
        "`accelerator: cpu`, number of processes. More than 1 needs `gpu` or `cpu`.",
    )

    @model_validator(mode="after")
    def _several_devices_need_an_accelerator(self) -> "TrainingConfig":
        if self.devices > 1 and self.accelerator == "auto":
            raise ValueError(f"'devices: {self.devices}' needs 'accelerator: gpu' (or 'cpu'), because 'auto' may find fewer GPUs")
        return self
