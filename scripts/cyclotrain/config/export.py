"""`export:`: where the model will run."""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from cyclotrain.config.base import Section
from cyclotrain.runtimes.targets import PATTERN, RELEASES, settings_for

VariantKind = Literal["fp16", "int8_dynamic", "int8_static"]
VARIANT_KINDS: tuple[VariantKind, ...] = get_args(VariantKind)

Form = Literal["onnx", "torchscript", "aot_inductor"]
ConsumerName = Literal["cpp", "cmssw", "cmssw_pytorch", "cmssw_alpaka", "triton", "rdataframe", "fccanalyses", "basf2", "athena"]
_FORMS: tuple[Form, ...] = get_args(Form)
_CONSUMERS: tuple[ConsumerName, ...] = get_args(ConsumerName)
# what a consumer needs besides `onnx`
_NEEDS: dict[ConsumerName, Form] = {"cmssw_pytorch": "torchscript", "cmssw_alpaka": "torchscript"}
# an editor offers the releases of the table, and takes those between them
_Choices = {"anyOf": [{"enum": [release.target for release in RELEASES]}, {"pattern": f"^(?:{PATTERN})$"}]}
_Target = Annotated[str, Field(json_schema_extra=_Choices)]


class VariantConfig(Section):
    """The gates of a variant, whose probabilities differ from the model's."""

    tolerance: float = Field(0.05, gt=0, description="Largest allowed absolute difference between a probability and PyTorch's.")
    hostile_tolerance: float = Field(
        1.0,
        gt=0,
        description="The same for inputs that are NaN, infinite, ±1e30 or denormal, which the scales of the integers do not "
        "cover. The output must be a probability in any case.",
    )
    rejection_loss: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Largest allowed loss of background rejection, as a fraction, at each of evaluation.signal_efficiencies.",
    )


class ExportConfig(Section):
    """Where the model will run."""

    targets: list[_Target] = Field(
        ["CMSSW_13_3_X", "CMSSW_14_1_X", "CMSSW_15_0_X"],
        min_length=1,
        description="Where the model will run: CMSSW releases (CMSSW_15_0_X) and Triton containers (triton_25.03); "
        "`python -m cyclotrain targets` lists them. The model has the newest ONNX opset and IR version that all of them load, "
        "and is verified in the ONNX Runtime of each.",
    )
    consumers: list[Literal[Form, ConsumerName]] = Field(
        ["cpp", "cmssw", "triton", "rdataframe"],
        description="Where the model goes. Each consumer gets a folder of the bundle: C++, CMSSW (`cmssw_pytorch`: with its "
        "LibTorch; `cmssw_alpaka`: on its structures of arrays, also on GPUs), Triton, ROOT's RDataFrame, "
        "`fccanalyses` (also k4MLJetTagger), `basf2` of Belle II, `athena` of ATLAS. Forms of the model: `onnx` is made in any "
        "case; `torchscript` is for LibTorch, such as PhysicsTools/PyTorch of CMSSW; `aot_inductor` is compiled for LibTorch, "
        "once for x86-64-v2 and once for x86-64-v3.",
    )
    preprocess_json: bool = Field(
        False,
        description="Also write the network without the features, with a preprocess.json for CMSSW's ParticleNetConstructor: "
        "for producers whose tag infos already contain the features.",
    )
    variants: dict[VariantKind, VariantConfig] = Field(
        {},
        description="Faster or smaller variants of the model, and their gates. `fp16`: half precision, for GPUs; `int8_dynamic` "
        "and `int8_static`: 8-bit integers, with scales from each batch or from the training split.",
    )

    @property
    def forms(self) -> list[Form]:
        """The forms in which the model is made: `onnx`, those that are listed, and those that a consumer needs."""
        needed = {"onnx", *self.consumers, *(_NEEDS.get(name) for name in self.takers)}
        return [form for form in _FORMS if form in needed]

    @property
    def takers(self) -> list[ConsumerName]:
        """The consumers that have a folder in the bundle."""
        return [name for name in _CONSUMERS if name in self.consumers]

    @model_validator(mode="after")
    def _targets_exist(self) -> "ExportConfig":
        settings_for(self.targets)
        if self.preprocess_json and not any(target.startswith("CMSSW") for target in self.targets):
            raise ValueError(
                "'preprocess_json' is for CMSSW, but none of the targets is a CMSSW release; add one, or remove 'preprocess_json'"
            )
        return self
