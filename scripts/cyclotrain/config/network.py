"""The sections on the network, on its training, on where it will run, and on what it must pass."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from cyclotrain.config.base import ExpressionText, Place, Section
from cyclotrain.runtimes.targets import settings_for


class Model(Section):
    """The network behind the features."""

    name: str = Field(
        description="`mlp`, `deep_sets`, or the import path of a torch.nn.Module, `package.module:Class` "
        "(docs/your-own-model.md)."
    )
    options: dict[str, Any] = Field({}, description="Keyword arguments of the network.")


class Training(Section):
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
    def _several_devices_are_of_a_kind(self) -> "Training":
        if self.devices > 1 and self.accelerator == "auto":
            raise ValueError(f"'devices: {self.devices}' needs 'accelerator: gpu' (or 'cpu'), as 'auto' may find none or one")
        return self


VariantKind = Literal["fp16", "int8_dynamic", "int8_static", "optimised"]
VARIANT_KINDS: tuple[VariantKind, ...] = get_args(VariantKind)


class Variant(Section):
    """The gates of a variant of the model, which gives other numbers than the model."""

    tolerance: float = Field(0.05, gt=0, description="Largest absolute difference of a probability from PyTorch's that passes.")
    hostile_tolerance: float = Field(
        1.0,
        gt=0,
        description="The same where inputs are NaN, infinite, ±1e30 or denormal, for which integers were not scaled. The answer "
        "must be a probability in any case.",
    )
    rejection_loss: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Largest fraction of the background rejection that may be lost, at each of evaluation.signal_efficiencies.",
    )


class Export(Section):
    """Where the model will run."""

    targets: list[str] = Field(
        ["CMSSW_13_3_X", "CMSSW_14_1_X", "CMSSW_15_0_X"],
        min_length=1,
        description="Where the model will run: CMSSW releases (CMSSW_15_0_X) and Triton containers (triton_25.03). The newest "
        "ONNX opset and IR version that all of them load are used, and the model is verified in each one's ONNX Runtime.",
    )

    preprocess_json: bool = Field(
        False,
        description="Also write the network alone, with a preprocess.json for CMSSW's ParticleNetConstructor: for producers "
        "whose tag infos hold the features ready-made.",
    )
    variants: dict[VariantKind, Variant] = Field(
        {},
        description="Faster or smaller forms of the model, and their gates. `fp16`: half precision, for GPUs; `int8_dynamic` and "
        "`int8_static`: 8-bit integers, with scales from each batch or from the training split; `optimised`: ONNX Runtime's "
        "optimisations, made once and not at every start.",
    )

    @model_validator(mode="after")
    def _targets_exist(self) -> "Export":
        settings_for(self.targets)
        if self.preprocess_json and not any(target.startswith("CMSSW") for target in self.targets):
            raise ValueError("'preprocess_json' is for CMSSW, and none of the targets is a CMSSW release")
        return self


class Verification(Section):
    """The parity gate: ONNX Runtime against PyTorch."""

    tolerance: float = Field(1e-5, gt=0, description="Largest absolute difference of a probability that passes.")
    tf32_tolerance: float = Field(
        0.05,
        gt=0,
        description="The same where a GPU rounds what matrix products take to TF32 (10 bits), as ONNX Runtime does on NVIDIA's "
        "Ampere and later unless it is told `use_tf32: 0`. Tried where there is a GPU.",
    )


class Baseline(Section):
    """Gradient-boosted trees on example-level features, reported beside every model."""

    features: list[ExpressionText] = Field(
        [], description="Expressions over flat branches. Without any, the features of the flat input sets are used."
    )


class Evaluation(Section):
    """The physics figures, on the test split."""

    signal: str | None = Field(None, description="The signal class; the others are backgrounds. Default: the last class.")
    signal_efficiencies: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.3, 0.5], min_length=1, description="Signal efficiencies at which the background rejection is given."
    )
    minimum_auc: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Gate: the run fails if the area under the ROC curve is below, for any background.",
    )


class Tracking(Section):
    """Where MLflow keeps the run."""

    uri: Place = Field("sqlite:///results/mlflow.db", description="MLflow tracking URI: an SQLite file or a server.")
    experiment: str = Field("cyclotrain", description="MLflow experiment.")
