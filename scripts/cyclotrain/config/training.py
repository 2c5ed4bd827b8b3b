"""`training:`: how the network is trained."""

from typing import Literal

from pydantic import Field, model_validator

from cyclotrain.config.base import Section


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: int = Field(20, ge=1, description="Largest number of passes over the training split.")
    patience: int = Field(5, ge=1, description="Stop after this number of epochs without a lower validation loss.")
    batch_size: int = Field(512, ge=1, description="Examples a step.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak of the learning rate, reached after a tenth of the steps.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="`auto` takes a GPU if there is one; `gpu` fails where there is none."
    )
    devices: int = Field(
        1,
        ge=1,
        description="GPUs of one machine that train together, each on its part of every batch (DDP); with `accelerator: cpu` "
        "processes. More than 1 needs `gpu` or `cpu`.",
    )

    @model_validator(mode="after")
    def _several_devices_are_of_a_kind(self) -> "TrainingConfig":
        if self.devices > 1 and self.accelerator == "auto":
            raise ValueError(f"'devices: {self.devices}' needs 'accelerator: gpu' (or 'cpu'), as 'auto' may find none or one")
        return self
