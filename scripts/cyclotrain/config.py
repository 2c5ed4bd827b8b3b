"""The configuration: one typed model, from which the schema, `config/README.md` and the comments of the YAML are made.

They are written by `config_docs` (`make docs`).
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cyclotrain.contract import mask_group
from cyclotrain.expressions import Expression, ExpressionError
from cyclotrain.targets import settings_for


class ConfigError(ValueError):
    """The configuration cannot be used; the message names each key and the fix."""


def _expression(text: str) -> str:
    Expression(text)
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        raise ValueError("a name starts with a letter and holds letters, digits, '_' and '-' only: it becomes a file name")
    return text


ExpressionText = Annotated[str, AfterValidator(_expression)]
Name = Annotated[str, AfterValidator(_name)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Simulate(_Model):
    """A sample made here with Pythia 8 and FastJet: boosted jets at 13 TeV, see docs/demo-sample.md."""

    process: Literal["qcd", "ttbar"] = Field(description="`qcd`: light jets; `ttbar`: hadronic top quarks.")
    jets: int = Field(ge=1, description="Number of jets to make, at least.")
    files: int = Field(4, ge=1, description="Number of ROOT files, each a job with its own random seed.")


class Sample(_Model):
    """A physics process and its ROOT files."""

    files: list[str] = Field([], description="ROOT files: paths or globs, relative to the working directory.")
    simulate: Simulate | None = Field(None, description="Make the files here, in place of `files`; for the demo.")
    files_per_job: int = Field(1, ge=1, description="Number of files that one `skim` job reads.")
    tree: str = Field("Events", description="Name of the TTree or RNTuple in each file.")
    label: str | None = Field(
        None,
        description="The class of these events: a name from `classes`, or an expression that gives its index. "
        "Without it, the common `label` holds.",
    )
    selection: ExpressionText | None = Field(None, description="Cut on top of the common `selection`.")
    weight: ExpressionText | None = Field(None, description="Physics weight of an event, in place of the common `weight`.")

    @model_validator(mode="after")
    def _one_source(self) -> "Sample":
        if bool(self.files) == bool(self.simulate):
            raise ValueError("give either 'files' or 'simulate'")
        return self


class Score(_Model):
    """Ntuples that did not make the model, and get its friend trees."""

    files: list[str] = Field(min_length=1, description="ROOT files to score: paths or globs.")
    tree: str = Field("Events", description="Name of the TTree or RNTuple in each of these files.")
    selection: ExpressionText | None = Field(
        None, description="Entries that fail it get -1 in place of probabilities. Default: the common `selection`."
    )


class Link(_Model):
    """Where an example is an object: how constituents, which stand in a list an event, belong to it."""

    count: str | None = Field(
        None, description="Branch with the number of each object's constituents, which follow one another in the event's list."
    )
    object_index: str | None = Field(
        None,
        description="Branch with the index of the object, one for each constituent, or for each entry of an index table such as "
        "`JetPFCands_jetIdx`. A negative index belongs to no object.",
    )
    constituent_index: str | None = Field(
        None,
        description="Branch of the index table with the index of the constituent, such as `JetPFCands_pFCandsIdx`. Branches with "
        "the table's prefix are taken from the table itself.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Link":
        if (self.count is None) == (self.object_index is None) or (self.count and self.constituent_index):
            raise ValueError("give 'count', or 'object_index' with or without 'constituent_index'")
        return self


class InputSet(_Model):
    """Features of the model: of the example itself, or (with `max_length`) of each of its constituents."""

    features: list[ExpressionText] = Field(
        min_length=1, description="Expressions over branches, computed inside the exported graph."
    )
    max_length: int | None = Field(
        None,
        ge=1,
        description="For constituents (jagged branches): the leading ones up to this number are used. "
        "Leave it out for flat branches.",
    )
    valid: ExpressionText | None = Field(
        None,
        description="For constituents: the condition that tells a real one from zero padding, such as `pf_pt > 0`.",
    )
    link: Link | None = Field(
        None,
        description="With `object`, for constituents that stand in a list an event: how they belong to an object. Leave it out "
        "for branches with a list an object.",
    )
    clip: float = Field(10.0, gt=0, description="Standardised features are limited to ± this number of standard deviations.")

    @model_validator(mode="after")
    def _valid_with_length(self) -> "InputSet":
        if (self.max_length is None) != (self.valid is None):
            raise ValueError("'max_length' and 'valid' go together: both for constituents, neither for flat branches")
        if self.link and self.max_length is None:
            raise ValueError("'link' is for constituents; give 'max_length' and 'valid', or leave it out")
        if len(set(self.features)) < len(self.features):
            raise ValueError("a feature is listed twice")
        return self


class Split(_Model):
    """Shares of the three splits; they sum to 1."""

    train: float = Field(0.6, gt=0, lt=1, description="Share of events that train the model.")
    validation: float = Field(0.1, gt=0, lt=1, description="Share of events that choose the best epoch.")
    test: float = Field(0.3, gt=0, lt=1, description="Share of events that all figures are computed on.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Split":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test is {total:g}, not 1")
        return self


class Model(_Model):
    """The network behind the features."""

    name: str = Field(
        description="`mlp`, `deep_sets`, or the import path of a torch.nn.Module, `package.module:Class` "
        "(docs/your-own-model.md)."
    )
    options: dict[str, Any] = Field({}, description="Keyword arguments of the network.")


class Training(_Model):
    """How the network is trained."""

    epochs: int = Field(20, ge=1, description="Largest number of passes over the training split.")
    patience: int = Field(5, ge=1, description="Stop after this number of epochs without a lower validation loss.")
    batch_size: int = Field(512, ge=1, description="Examples a step.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak of the learning rate, reached after a tenth of the steps.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    accelerator: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="`auto` takes a GPU if there is one; `gpu` fails where there is none."
    )


VariantKind = Literal["fp16", "int8_dynamic", "int8_static", "optimised"]
VARIANT_KINDS: tuple[VariantKind, ...] = get_args(VariantKind)


class Variant(_Model):
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


class Export(_Model):
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


class Verification(_Model):
    """The parity gate: ONNX Runtime against PyTorch."""

    tolerance: float = Field(1e-5, gt=0, description="Largest absolute difference of a probability that passes.")


class Baseline(_Model):
    """Gradient-boosted trees on example-level features, reported beside every model."""

    features: list[ExpressionText] = Field(
        [], description="Expressions over flat branches. Without any, the features of the flat input sets are used."
    )


class Evaluation(_Model):
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


class Tracking(_Model):
    """Where MLflow keeps the run."""

    uri: str = Field("sqlite:///results/mlflow.db", description="MLflow tracking URI: an SQLite file or a server.")
    experiment: str = Field("cyclotrain", description="MLflow experiment.")


class Config(_Model):
    """A whole run. Paths are relative to the working directory."""

    run: Name = Field(description="Name of the run: everything lands in `results/<run>/`.")
    description: str | None = Field(None, description="What the model is and what it is for, for its model card.")
    licence: str | None = Field(None, description="Licence of the model, for its model card.")
    seed: int = Field(1, ge=0, lt=2**31, description="Seed of the split, the training and the demo sample.")
    samples: dict[Name, Sample] = Field(min_length=1, description="The samples, by name.")
    object: Name | None = Field(
        None,
        description="Make each object of this collection an example, such as `Jet`: its branches, `Jet_...`, are then one number "
        "an example, as are those with one number an event. Without it, each entry of the tree is an example.",
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
    classes: list[Name] = Field(min_length=2, description="The classes, in the order of the model's outputs.")
    label: str | None = Field(
        None, description="For all samples: a name from `classes`, or an expression that gives its index there."
    )
    balance: Literal["classes", "none"] = Field(
        "classes",
        description="`classes`: training weights are scaled so that each class has the same sum. "
        "`none`: the physics weights as they are.",
    )
    split: Split = Field(Split(), description="Shares of the three splits.")
    inputs: dict[Name, InputSet] = Field(min_length=1, description="What the model sees: sets of features, by name.")
    model: Model = Field(description="The network.")
    training: Training = Field(Training(), description="How it is trained.")
    export: Export = Field(Export(), description="Where it will run.")
    verification: Verification = Field(Verification(), description="The parity gate.")
    baseline: Baseline = Field(Baseline(), description="The boosted trees to compare with.")
    evaluation: Evaluation = Field(Evaluation(), description="The physics figures and their gate.")
    tracking: Tracking = Field(Tracking(), description="MLflow.")
    score: dict[Name, Score] = Field(
        {}, description="More ntuples for `make score`, which writes friend trees for each file of these and of the samples."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a class is listed twice")
        for name, sample in self.samples.items():
            label = sample.label or self.label
            if label is None:
                raise ValueError(f"samples.{name}.label: no class is given; add it, or a common 'label'")
            if label not in self.classes:
                self._check_label_expression(name, label)
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
            if mask_group(name) in self.inputs:
                raise ValueError(f"inputs.{mask_group(name)}: export.preprocess_json takes this name for the mask of '{name}'")
            for text in inputs.features:
                if text in owner:
                    raise ValueError(
                        f"export.preprocess_json: the feature '{text}' is in inputs.{owner[text]} and in inputs.{name}, and a "
                        "preprocess.json has one variable of a name; take it out of one, or go without preprocess_json"
                    )
                owner[text] = name

    def _check_label_expression(self, sample: str, label: str) -> None:
        try:
            expression = Expression(label)
        except ExpressionError as error:
            raise ValueError(
                f"samples.{sample}.label: neither a class ({', '.join(self.classes)}) nor an expression: {error}"
            ) from None
        near = difflib.get_close_matches(label, self.classes, n=1, cutoff=0.9)
        if near and expression.branches == (label,):
            raise ValueError(f"samples.{sample}.label: '{label}' is not one of the classes; did you mean '{near[0]}'?")

    @property
    def signal(self) -> str:
        """The signal class."""
        return self.evaluation.signal or self.classes[-1]

    @property
    def baseline_features(self) -> tuple[str, ...]:
        """The features of the boosted trees."""
        flat = [text for inputs in self.inputs.values() if inputs.max_length is None for text in inputs.features]
        return tuple(self.baseline.features or flat)


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


def resolve_files(config: Config) -> dict[str, list[str]]:
    """The files of each sample that is not simulated, globs expanded and sorted.

    Raises ConfigError for a file that is missing, and for one that is there twice, whose events would count twice.
    """
    given = {name: sample.files for name, sample in config.samples.items() if not sample.simulate}
    return {name: _expand_all(files, f"samples.{name}.files") for name, files in given.items()}


def resolve_scored(config: Config) -> dict[str, list[str]]:
    """The files of `score` by its names; raises ConfigError as `resolve_files` does."""
    return {name: _expand_all(scored.files, f"score.{name}.files") for name, scored in config.score.items()}


def _expand_all(patterns: Sequence[str], key: str) -> list[str]:
    files = [path for index, pattern in enumerate(patterns) for path in _expand(pattern, f"{key}.{index}")]
    places = Counter(Path(path).resolve() for path in files)
    if twice := [path for path, times in places.items() if times > 1]:
        raise ConfigError(f"{key}: '{twice[0]}' is there twice, so its events would count twice")
    return files


def _expand(pattern: str, key: str) -> list[str]:
    if "://" in pattern:
        raise ConfigError(f"{key}: '{pattern}' is a URL; local paths and globs are read so far")
    if any(character in pattern for character in "*?["):
        anchor = Path(pattern).anchor
        found = sorted(map(str, Path(anchor).glob(pattern.removeprefix(anchor))))
        if not found:
            raise ConfigError(f"{key}: no file matches '{pattern}' (looked from {Path.cwd()})")
        return found
    if not Path(pattern).is_file():
        near = difflib.get_close_matches(Path(pattern).name, [p.name for p in Path(pattern).parent.glob("*.root")], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"{key}: no file '{pattern}' (looked from {Path.cwd()}){hint}")
    return [pattern]
