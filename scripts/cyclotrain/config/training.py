"""`training:`: how the network is trained."""

import difflib
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cyclotrain.config.base import Place, Section
from cyclotrain.config.decorrelate import DecorrelateConfig

# `adamw` is PyTorch's. The others are names of the package pytorch-optimizer, whose import needs PyTorch. The list has some that
# go on with the same bits after an interruption, and need neither two passes for a step nor another mode for validation.
OPTIMIZERS = (
    "adamw", "adabelief", "adamp", "adan", "ademamix", "adopt", "came", "lamb", "laprop", "lion", "mars", "muon", "nadam",
    "novograd", "qhadam", "radam", "ranger", "sgd", "soap", "stableadamw", "tiger", "yogi",
)  # fmt: skip


class TrainingConfig(Section):
    """How the network is trained."""

    epochs: int = Field(20, ge=1, description="Maximum number of passes over the training split.")
    patience: int = Field(5, ge=1, description="Stop after this number of epochs without a lower validation loss.")
    batch_size: int = Field(512, ge=1, description="Examples per batch.")
    accumulate: int = Field(
        1,
        ge=1,
        description="Batches per step: their gradients are added, so that a step is like one of a batch as many times larger, in "
        "the memory of one.",
    )
    bucket: bool = Field(
        False,
        description="Batches of examples of like length, which need less padding. The order still changes from epoch to epoch.",
    )
    optimizer: str = Field(
        "adamw",
        description=f"{', '.join(f'`{name}`' for name in OPTIMIZERS)}: PyTorch's AdamW, or an optimiser of the package "
        "pytorch-optimizer (docs/training.md).",
    )
    optimizer_options: dict[str, Any] = Field({}, description="More options of the optimiser, such as `betas: [0.9, 0.99]`.")
    learning_rate: float = Field(1e-3, gt=0, description="Largest learning rate. `snakemake find_learning_rate` suggests one.")
    schedule: Literal["one_cycle", "cosine", "flat_then_decay", "constant"] = Field(
        "one_cycle",
        description="The learning rate after the warm-up: `one_cycle` and `cosine` fall to 0 along a cosine; `flat_then_decay` "
        "stays for 70 % of the steps, then falls exponentially to 1 %; `constant` stays.",
    )
    warmup: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of all steps in which the learning rate rises: linearly, in `one_cycle` along a cosine.",
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of the optimiser.")
    gradient_clipping: float | None = Field(
        None, gt=0, description="Largest norm of the gradient of all parameters together; a larger one is scaled down to it."
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of an exponential moving average of the weights, such as 0.999. The averaged weights are validated "
        "and kept.",
    )
    weights: Literal["physics", "none"] = Field(
        "physics",
        description="Weights of the events in training and validation: `physics`, as `weight` and the cross sections give them, "
        "or `none`, the same for all events (docs/training.md). `balance` and `flatten` act in both cases. The boosted trees use "
        "the same; figures of the test split always use the physics weights.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of each example's wanted probability that goes to all classes alike, in training only: 0.1 makes the "
        "network less sure. The validation loss is without it, so that it can be compared.",
    )
    decorrelate: DecorrelateConfig | None = Field(
        None, description="Keep the score independent of an observer; `flatten` does this with weights instead."
    )
    calibrate: Literal["none", "temperature"] = Field(
        "none",
        description="`temperature`: after the training, divide the logits by one number, fitted on the validation split, so that "
        "probabilities are frequencies (docs/trust.md). It is part of the exported model; the order of the examples stays.",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Of matrix products in training and validation; features, loss and weights stay float32, and so do export "
        "and parity. `float16` needs a GPU.",
    )
    compile: bool = Field(
        False,
        description="Compile the network with torch.compile on a GPU. Without a GPU it is not compiled, and the log says so.",
    )
    initial_weights: Place | None = Field(
        None,
        description="Start from the weights of another training, the parent: a run's folder, such as `results/parent`, a "
        "`weights.pt`, or a model registered in MLflow, `models:/name@alias` (docs/training.md). Features are standardised as "
        "in the parent.",
    )
    load: list[str] = Field(
        ["*"],
        min_length=1,
        description="Layers that start from the parent: patterns of names of weights, such as `phi.*`. A weight of another "
        "shape, such as the head for other classes, starts anew, and the log says so.",
    )
    freeze: list[str] = Field([], description="Layers that keep the weights of the parent: patterns, as in `load`.")
    learning_rate_factors: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="Factors on the learning rate of layers, by pattern; the first that fits counts. `{'phi.*': 0.1}`"
    )
    other_inputs: bool = Field(
        False, description="Allow other features than the parent's; sets of features that differ are standardised anew."
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

    @field_validator("optimizer")
    @classmethod
    def _optimizer_exists(cls, name: str) -> str:
        if name not in OPTIMIZERS:
            near = difflib.get_close_matches(name.lower().replace("_", ""), OPTIMIZERS, n=2, cutoff=0.6)
            known = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known here: {', '.join(OPTIMIZERS)}"
            raise ValueError(f"there is no optimiser '{name}'; {known}")
        return name

    @field_validator("schedule", mode="before")
    @classmethod
    def _schedule_exists(cls, name: Any) -> Any:
        known = cls.model_fields["schedule"].annotation.__args__  # type: ignore[union-attr]
        if name not in known:
            near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
            raise ValueError(
                f"there is no schedule '{name}'; " + (f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}")
            )
        return name

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingConfig":
        if self.devices > 1 and self.accelerator == "auto":
            raise ValueError(f"'devices: {self.devices}' needs 'accelerator: gpu' (or 'cpu'), because 'auto' may find fewer GPUs")
        for key in ("freeze", "load", "other_inputs"):
            if self.initial_weights is None and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' needs 'initial_weights'; add them, or remove '{key}'")
        if self.accelerator == "cpu" and self.compile:
            raise ValueError("'compile' is for a GPU, and 'accelerator' is 'cpu'; remove one of the two")
        if self.accelerator == "cpu" and self.precision == "float16":
            raise ValueError("'precision: float16' needs a GPU, and 'accelerator' is 'cpu'; use 'float32' or 'bfloat16'")
        if self.schedule == "one_cycle" and not self.warmup:
            raise ValueError("'schedule: one_cycle' begins with a rise, and 'warmup' is 0; use 'schedule: cosine' without a rise")
        return self
