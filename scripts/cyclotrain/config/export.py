"""`export:`: where the model will run."""

from typing import Literal, get_args

from pydantic import Field, model_validator

from cyclotrain.config.base import Section
from cyclotrain.runtimes.targets import settings_for

VariantKind = Literal["fp16", "int8_dynamic", "int8_static", "optimised"]
VARIANT_KINDS: tuple[VariantKind, ...] = get_args(VariantKind)


class VariantConfig(Section):
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


class ExportConfig(Section):
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
    variants: dict[VariantKind, VariantConfig] = Field(
        {},
        description="Faster or smaller forms of the model, and their gates. `fp16`: half precision, for GPUs; `int8_dynamic` and "
        "`int8_static`: 8-bit integers, with scales from each batch or from the training split; `optimised`: ONNX Runtime's "
        "optimisations, made once and not at every start.",
    )

    @model_validator(mode="after")
    def _targets_exist(self) -> "ExportConfig":
        settings_for(self.targets)
        if self.preprocess_json and not any(target.startswith("CMSSW") for target in self.targets):
            raise ValueError("'preprocess_json' is for CMSSW, and none of the targets is a CMSSW release")
        return self
