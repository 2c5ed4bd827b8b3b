"""The configuration: one typed model, from which the schema, `config/README.md` and the comments of the YAML are made.

They are written by `config_docs` (`make docs`).
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from cyclotrain.config.base import ConfigError, ExpressionText, Name, Section
from cyclotrain.config.evaluation import BaselineConfig, EvaluationConfig
from cyclotrain.config.export import VARIANT_KINDS, ExportConfig, VariantKind
from cyclotrain.config.flatten import FlattenConfig
from cyclotrain.config.inputs import InputSetConfig
from cyclotrain.config.model import ModelConfig
from cyclotrain.config.samples import SampleConfig
from cyclotrain.config.score import ScoreConfig
from cyclotrain.config.split import SplitConfig
from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.config.training import TrainingConfig
from cyclotrain.config.verification import VerificationConfig
from cyclotrain.contract import mask_group
from cyclotrain.contract.splits import SPLITS
from cyclotrain.expressions import Expression, ExpressionError

__all__ = [
    "VARIANT_KINDS", "Config", "ConfigError", "EvaluationConfig", "ExportConfig", "InputSetConfig", "ModelConfig",
    "TrainingConfig", "VariantKind", "inner_model", "keys", "load",
]  # fmt: skip


class Config(Section):
    """A whole run. Paths are relative to the working directory."""

    run: Name = Field(description="Name of the run: everything lands in `results/<run>/`.")
    description: str | None = Field(None, description="What the model is and what it is for, for its model card.")
    licence: str | None = Field(None, description="Licence of the model, for its model card.")
    seed: int = Field(1, ge=0, lt=2**31, description="Seed of the split, the training and the demo sample.")
    samples: dict[Name, SampleConfig] = Field(min_length=1, description="The samples, by name.")
    job_size: float = Field(
        2.0,
        gt=0,
        description="Input of a `skim` job in GB: smaller local files share one, larger and remote ones have one each.",
    )
    skip_broken: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Largest fraction of a sample's files that may be skipped as they cannot be read or lack a tree or branch. "
        "What was skipped is told in the summary, the model card and MLflow. With 0, the run fails and names the file.",
    )
    object: Name | None = Field(
        None,
        description="Make each object of this collection an example, such as `Jet`: its branches, `Jet_pt` or `Jet.PT`, are then "
        "one number an example, as are those with one number an event. Without it, each entry of the tree is an example.",
    )
    event_id: list[str] = Field(
        ["run", "luminosityBlock", "event"],
        min_length=1,
        description="Branches that identify an event. Their hash decides its split, whatever the file or the order.",
    )
    selection: ExpressionText | None = Field(None, description="Cut on all samples: events where it holds are kept.")
    define: dict[str, ExpressionText] = Field(
        {}, description="Names for expressions, to use in `selection`, `weight` and `label`."
    )
    weight: ExpressionText | None = Field(None, description="Physics weight of an event. Default: 1.")
    luminosity: float = Field(
        1.0, gt=0, description="Integrated luminosity in fb⁻¹ to which samples with a cross section are normalised."
    )
    classes: list[Name] = Field(min_length=2, description="The classes, in the order of the model's outputs.")
    label: str | None = Field(
        None, description="For all samples: a name from `classes`, or an expression that gives its index there."
    )
    negative_weights: Literal["keep", "absolute", "drop"] = Field(
        "keep",
        description="What negative weights are in training: themselves, their absolute value, or 0. Figures of the test split "
        "count them as they are.",
    )
    balance: Literal["classes", "none"] = Field(
        "classes",
        description="`classes`: training weights are scaled so that each class has the same sum. "
        "`none`: the physics weights as they are.",
    )
    flatten: FlattenConfig | None = Field(
        None,
        description="Training weights that give all classes the same distribution of one or two variables, and the same sum.",
    )
    split: SplitConfig = Field(SplitConfig(), description="Shares of the three splits.")
    folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="Cross-training: this number of models, each tested on another part of the events and trained on the rest, "
        "of which `split` gives the shares of train and validation. Friend trees have, for each event, the answer of the model "
        "that has not seen it.",
    )
    inputs: dict[Name, InputSetConfig] = Field(min_length=1, description="What the model sees: sets of features, by name.")
    model: ModelConfig = Field(description="The network.")
    training: TrainingConfig = Field(TrainingConfig(), description="How it is trained.")
    export: ExportConfig = Field(ExportConfig(), description="Where it will run.")
    verification: VerificationConfig = Field(VerificationConfig(), description="The parity gate.")
    baseline: BaselineConfig = Field(BaselineConfig(), description="The boosted trees to compare with.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="The physics figures and their gate.")
    tracking: TrackingConfig = Field(TrackingConfig(), description="MLflow.")
    score: dict[Name, ScoreConfig] = Field(
        {}, description="More ntuples for `make score`, which writes friend trees for each file of these and of the samples."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a class is listed twice")
        if self.flatten and self.flatten.to not in ("flat", *self.classes):
            raise ValueError(f"flatten.to: '{self.flatten.to}' is neither `flat` nor one of {', '.join(self.classes)}")
        for name, sample in self.samples.items():
            if sample.split and self.folds:
                raise ValueError(f"samples.{name}.split: with 'folds', each event is tested once; take one of the two out")
            if sample.split and sample.split not in SPLITS:
                self._check_expression(f"samples.{name}.split", sample.split, SPLITS, "a split", 0.75)
            label = sample.label or self.label
            if label is None:
                raise ValueError(f"samples.{name}.label: no class is given; add it, or a common 'label'")
            if label not in self.classes:
                self._check_expression(f"samples.{name}.label", label, self.classes, "a class", 0.9)
        if self.evaluation.signal not in (None, *self.classes):
            raise ValueError(f"evaluation.signal: '{self.evaluation.signal}' is not one of {', '.join(self.classes)}")
        jagged = [key for key, features in self.inputs.items() if features.max_length]
        if self.model.name == "mlp" and jagged:
            raise ValueError(f"model.name: 'mlp' takes flat features, and inputs.{jagged[0]} has constituents; use 'deep_sets'")
        if self.model.name == "deep_sets" and not jagged:
            raise ValueError("model.name: 'deep_sets' needs constituents, inputs with 'max_length' and 'valid'; use 'mlp'")
        seen: dict[str, str] = {}
        for key, features in self.inputs.items():
            for text in features.features:
                if features.max_length is None and text in seen:
                    raise ValueError(f"inputs.{key}.features: '{text}' is in inputs.{seen[text]} too")
                seen[text] = key
        if linked := [key for key, features in self.inputs.items() if features.link and not self.object]:
            raise ValueError(f"inputs.{linked[0]}.link: only where an example is an object; give 'object', or leave it out")
        if self.export.preprocess_json:
            self._check_preprocess_json()
        for key in self.inputs:
            if not key.isidentifier() or key == "batch" or hasattr(dict, key):
                raise ValueError(f"inputs.{key}: this name is not free; take another, with letters, digits and '_'")
        if defined := [name for name in self.event_id if name in self.define]:
            raise ValueError(f"event_id: '{defined[0]}' is from `define`, and a branch of the files is needed")
        if both := [name for name in self.score if name in self.samples]:
            raise ValueError(f"score.{both[0]}: there is a sample of this name, and samples are scored anyway")
        for name in self.define:
            if not name.isidentifier():
                raise ValueError(f"define.{name}: not a name that an expression can use")
        return self

    def _check_preprocess_json(self) -> None:
        """ParticleNetConstructor knows a variable, and a group, by its name alone."""
        owner: dict[str, str] = {}
        for name, inputs in self.inputs.items():
            if inputs.sort_by:
                raise ValueError(
                    f"export.preprocess_json: inputs.{name} has 'sort_by', and a preprocess.json takes constituents as the tag "
                    "info has them; take one of the two out"
                )
            if mask_group(name) in self.inputs:
                raise ValueError(f"inputs.{mask_group(name)}: export.preprocess_json takes this name for the mask of '{name}'")
            for text in inputs.features:
                if text in owner:
                    raise ValueError(
                        f"export.preprocess_json: the feature '{text}' is in inputs.{owner[text]} and in inputs.{name}, and a "
                        "preprocess.json has one variable of a name; take it out of one, or go without preprocess_json"
                    )
                owner[text] = name

    def _check_expression(self, key: str, text: str, names: Sequence[str], one: str, alike: float) -> None:
        """Check what is none of the `names`, so an expression that gives the index of one; `alike`: what a slip is, up to 1."""
        try:
            expression = Expression(text)
        except ExpressionError as error:
            raise ValueError(f"{key}: neither {one} ({', '.join(names)}) nor an expression: {error}") from None
        near = difflib.get_close_matches(text, names, n=1, cutoff=alike)
        if near and expression.branches == (text,):
            raise ValueError(f"{key}: '{text}' is not {one}; did you mean '{near[0]}'?")

    @property
    def signal(self) -> str:
        """The signal class."""
        return self.evaluation.signal or self.classes[-1]

    @property
    def baseline_features(self) -> tuple[str, ...]:
        """The features of the boosted trees."""
        flat = [text for inputs in self.inputs.values() if inputs.max_length is None for text in inputs.features]
        return tuple(self.baseline.features or flat)

    @property
    def observers(self) -> tuple[str, ...]:
        """What is kept of each example besides the model's inputs: features of the boosted trees, and what is flattened."""
        return tuple(dict.fromkeys([*self.baseline_features, *(self.flatten.variables if self.flatten else ())]))


def load(raw: Mapping[str, Any]) -> Config:
    """The checked configuration; raises ConfigError that names every wrong key, its place and the fix."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise ConfigError("the configuration cannot be used:\n" + "\n".join(f"  - {p}" for p in problems)) from None


def _describe(problem: Any) -> str:
    location = problem["loc"]
    key = ".".join(str(part) for part in location if part != "[key]") or "(top level)"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{key}: this key is required; see config/README.md"
    message = problem["msg"].removeprefix("Value error, ")
    if location == () and re.match(r"[a-z_]+(\.\S+)?: ", message):
        return message  # a check over several keys names its own
    given = "" if problem["type"] == "value_error" else f" (given: {problem['input']!r})"
    return f"{key}: {message[0].lower()}{message[1:]}{given}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: Any = Config
    for part in location:
        if part in model.model_fields:  # not so for a name of the user's
            model = inner_model(model.model_fields[part].annotation)
    return list(model.model_fields)


def inner_model(annotation: Any) -> Any:
    """The configuration class inside an annotation such as `dict[Name, Sample]` or `Simulate | None`, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := inner_model(part))), None)


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its pydantic field, depth first, `<name>` standing for names that the user chooses."""
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key, info
        if inner := inner_model(info.annotation):
            chosen = ".<name>." if str(info.annotation).startswith("dict") else "."
            yield from keys(inner, f"{key}{chosen}")
