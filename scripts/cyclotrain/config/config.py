"""The whole configuration: its sections, and the checks across them."""

import difflib
import keyword
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cyclotrain.config import evaluation as evaluation_checks
from cyclotrain.config import gates as figure_gates
from cyclotrain.config import systematics as variations
from cyclotrain.config.base import ExpressionText, Name, Place, Section
from cyclotrain.config.definitions import branches_of
from cyclotrain.config.evaluation import BaselineConfig, EvaluationConfig
from cyclotrain.config.export import ExportConfig
from cyclotrain.config.flatten import FlattenConfig
from cyclotrain.config.gates import Bounds
from cyclotrain.config.inputs import InputSetConfig
from cyclotrain.config.model import ModelConfig
from cyclotrain.config.observers import ObserverConfig
from cyclotrain.config.regression import QuantityConfig
from cyclotrain.config.report import ReportConfig
from cyclotrain.config.samples import SampleConfig
from cyclotrain.config.score import ScoreConfig
from cyclotrain.config.split import SplitConfig
from cyclotrain.config.systematics import SystematicConfig
from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.config.training import TrainingConfig
from cyclotrain.config.verification import VerificationConfig
from cyclotrain.contract import OUTPUT, mask_group, quantity_columns, vectors_group
from cyclotrain.contract.splits import ENTRY, SPLITS, identifying_branches
from cyclotrain.expressions import Expression, ExpressionError


class Config(Section):
    """The configuration of a run. Paths are relative to the working directory."""

    run: Name = Field(description="Name of the run: all results go to `results/<run>/`.")
    description: str | None = Field(None, description="What the model is and what it is for, for its model card.")
    licence: str | None = Field(None, description="Licence of the model, for its model card.")
    seed: int = Field(1, ge=0, lt=2**31, description="Seed of the split, the training and the demo sample.")
    samples: dict[Name, SampleConfig] = Field(min_length=1, description="The samples, by name.")
    job_size: float = Field(
        2.0,
        gt=0,
        description="Input of a `skim` job in GB: smaller local files share a job, larger and remote files have one each.",
    )
    skip_broken: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Largest fraction of a sample's files that may be skipped because they cannot be read or lack a tree or "
        "branch. Skipped files are listed in the summary, the model card and MLflow. With 0, the run fails and names the file.",
    )
    object: Name | None = Field(
        None,
        description="Each object of this collection, such as `Jet`, is an example. Its branches, `Jet_pt`, `Jet.PT` or `Jet:pt`, "
        "then have one value per example, like branches with one value per event. Without it, each entry of the tree is an "
        "example.",
    )
    event_id: Annotated[list[str], Field(min_length=1)] | Literal["entry"] = Field(
        ["run", "luminosityBlock", "event"],
        description="Branches that together identify an event. Their hash decides its split, independent of files and order. "
        "For trees without event numbers, the word `entry`: the ROOT file, known by its UUID, and the entry number identify an "
        "event. Copied or renamed files then give the same splits; merged or skimmed files do not.",
    )
    selection: ExpressionText | None = Field(None, description="Cut on all samples: events that pass are kept.")
    define: dict[str, ExpressionText] = Field(
        {}, description="Names for expressions, for use in `selection`, `weight`, `label` and `regression`."
    )
    weight: ExpressionText | None = Field(None, description="Physics weight of an event. Default: 1.")
    luminosity: float = Field(
        1.0, gt=0, description="Integrated luminosity in fb⁻¹ to which samples with a cross section are normalised."
    )
    classes: list[Name] = Field(
        [],
        description="The classes, at least two, in the order of the columns of `probabilities`. Without them, the model has no "
        "probabilities, only the outputs of `regression`.",
    )
    label: str | None = Field(
        None, description="For all samples: a name from `classes`, or an expression that gives an index into `classes`."
    )
    regression: dict[Name, QuantityConfig] = Field(
        {}, description="Quantities that the model estimates, by name: each is an output of its own (docs/regression.md)."
    )
    observers: dict[Name, ObserverConfig] = Field(
        {},
        description="Variables that the model need not see, by name: its performance is shown against each, and what a cut on "
        "its scores does to the distribution of each. `observers: {jet_mass: {label: 'Jet mass [GeV]'}}`",
    )
    negative_weights: Literal["keep", "absolute", "drop"] = Field(
        "keep",
        description="Negative weights in training: unchanged, their absolute value, or 0. On the test split, they are used "
        "unchanged, so that an AUC can leave [0, 1] (docs/your-own-ntuples.md).",
    )
    balance: Literal["classes", "none"] = Field(
        "classes",
        description="`classes`: scale the training weights so that each class has the same sum. "
        "`none`: use the weights unchanged.",
    )
    flatten: FlattenConfig | None = Field(
        None,
        description="Training weights that give all classes the same distribution in one or two variables, and the same sum.",
    )
    split: SplitConfig = Field(SplitConfig(), description="Shares of the three splits.")
    folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="Cross-training with this number of models: each is tested on another part of the events and trained on the "
        "rest, which is divided in the ratio of `train` to `validation` of `split`. Friend trees hold, for each event, the "
        "output of the model that has not seen it.",
    )
    inputs: dict[Name, InputSetConfig] = Field(min_length=1, description="Inputs of the model: sets of features, by name.")
    model: ModelConfig = Field(description="The network.")
    training: TrainingConfig = Field(TrainingConfig(), description="How it is trained.")
    export: ExportConfig = Field(ExportConfig(), description="Where it will run.")
    verification: VerificationConfig = Field(VerificationConfig(), description="The parity gate.")
    baseline: BaselineConfig = Field(BaselineConfig(), description="Boosted trees to compare the model with.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Physics performance.")
    compare: dict[Name, Place] = Field(
        {},
        description="Earlier models to lay over, by a name of yours: the folder of a run, such as `results/old`, an ONNX file, "
        "or a model registered in MLflow, `models:/name@alias`. Each runs on this run's test examples (docs/performance.md).",
    )
    gates: dict[str, Bounds] = Field(
        {},
        description="Limits of figures, such as `auc.qcd: '>= 0.97'`: the run fails at its end, without a bundle, if one is not "
        "met. A bound is `>= x`, `<= x`, `absolute <= x` or `not_worse_than` a name of `compare`, or a list of them; quote it. "
        "`*` stands for one part of a name: `auc.*` is of every background. `python -m cyclotrain figures` lists the names "
        "(docs/gates.md).",
        json_schema_extra=figure_gates.completed,
    )
    systematics: dict[Name, SystematicConfig] = Field(
        {},
        description="Systematic uncertainties, by name: variations of the simulation, and what they do to scores, ROC and "
        "working points (docs/inputs-and-data.md).",
    )
    report: ReportConfig = Field(ReportConfig(), description="The figures.")
    tracking: TrackingConfig = Field(TrackingConfig(), description="MLflow.")
    score: dict[Name, ScoreConfig] = Field(
        {},
        description="More ntuples for `make score`, which writes a friend tree for each file listed here and for each file of "
        "the samples.",
    )

    @field_validator("event_id", mode="before")
    @classmethod
    def _branches_or_entry(cls, value: Any) -> Any:
        is_list = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
        if not is_list and value != ENTRY:
            raise ValueError(f"give a list of branches, such as [run, event], or the word `{ENTRY}` (given: {value!r})")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        self._check_outputs()
        if self.training.weights == "none" and self.negative_weights != "keep":
            raise ValueError(
                f"negative_weights: '{self.negative_weights}' has no effect, because 'training.weights: none' gives all events "
                "the same weight in training; remove one of the two"
            )
        if self.flatten and self.flatten.to not in ("flat", *self.classes):
            raise ValueError(f"flatten.to: '{self.flatten.to}' is neither `flat` nor one of {', '.join(self.classes)}")
        for name, sample in self.samples.items():
            if sample.split and self.folds:
                raise ValueError(f"samples.{name}.split: 'folds' splits the events itself; remove one of the two")
            if sample.split and sample.split not in SPLITS:
                _check_expression(f"samples.{name}.split", sample.split, names=SPLITS, kind="a split", similarity=0.75)
            label = sample.label or self.label
            if sample.data:
                continue
            if not self.classes:
                if label is not None:
                    raise ValueError(f"samples.{name}.label: '{label}' has no meaning without 'classes'; remove it, or add them")
                continue
            if label is None:
                raise ValueError(f"samples.{name}.label: no class is given; add it, or a common 'label'")
            if label not in self.classes:
                _check_expression(f"samples.{name}.label", label, names=self.classes, kind="a class", similarity=0.9)
        variations.check(self)
        if not self.nominal_samples:
            raise ValueError("samples: none is for training; all are data, or are used instead of another in 'systematics'")
        if not self.classes:
            self._check_without_classes()
        elif self.evaluation.signal not in (None, *self.classes):
            raise ValueError(f"evaluation.signal: '{self.evaluation.signal}' is not one of {', '.join(self.classes)}")
        self._check_decorrelation()
        if self.training.bucket and not any(features.max_length for features in self.inputs.values()):
            raise ValueError("training.bucket: no set of inputs has constituents, so all examples have one length; remove it")
        if self.model.is_built_in:  # a network of the user's is looked up when a run is planned
            self.model.check_inputs(self.inputs)
        owner: dict[str, str] = {}
        for key, features in self.inputs.items():
            for text in features.features:
                if features.max_length is None and text in owner:
                    raise ValueError(f"inputs.{key}.features: '{text}' is also in inputs.{owner[text]}; remove one of the two")
                owner[text] = key
        if linked := [key for key, features in self.inputs.items() if features.link and not self.object]:
            raise ValueError(f"inputs.{linked[0]}.link: only if each example is an object; give 'object', or remove 'link'")
        if self.export.preprocess_json:
            self._check_preprocess_json()
        for key in self.inputs:
            if not key.isidentifier() or keyword.iskeyword(key) or key == "batch" or hasattr(dict, key):
                raise ValueError(f"inputs.{key}: this name cannot be used; choose another one, with letters, digits and '_'")
        for key, features in self.inputs.items():
            if key == OUTPUT or any(OUTPUT in Expression(text).inputs for text in features.texts):
                raise ValueError(f"inputs.{key}: '{OUTPUT}' is the output of the model, which can have no input of this name")
        if defined := [name for name in identifying_branches(self.event_id) if name in self.define]:
            raise ValueError(f"event_id: '{defined[0]}' is from `define`; use branches of the files")
        if both := [name for name in self.score if name in self.samples]:
            raise ValueError(f"score.{both[0]}: a sample has this name, and samples are scored anyway; remove this entry")
        for name in self.define:
            if not name.isidentifier():
                raise ValueError(f"define.{name}: expressions cannot use this name; choose one with letters, digits and '_'")
        evaluation_checks.check(self)
        if self.folds and self.tracking.register_as:
            raise ValueError(
                "tracking.register_as: 'folds' makes a model a fold, none of which is the model; remove one of the two keys"
            )
        figure_gates.check(self)
        return self

    def _check_outputs(self) -> None:
        """The classes and the regressed quantities."""
        if not self.classes and not self.regression:
            raise ValueError("classes: give the classes, or quantities in 'regression', or both; the model has no output")
        if len(self.classes) == 1:
            raise ValueError("classes: one class cannot be told from others; give at least two")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a class is listed twice")
        inputs = {name: key for key, features in self.inputs.items() for t in features.texts for name in Expression(t).inputs}
        for name, quantity in self.regression.items():
            if not name.isidentifier() or name in (OUTPUT, "batch"):
                raise ValueError(f"regression.{name}: this name cannot be used; choose another one, with letters, digits and '_'")
            if name in inputs:
                raise ValueError(
                    f"regression.{name}: inputs.{inputs[name]} uses a branch of this name, and the model can have no output of "
                    "the same name; rename the quantity"
                )
            if name in self.inputs:
                raise ValueError(f"regression.{name}: a set of inputs has this name; rename one of them")
            for key, known in (("classes", self.classes), ("samples", list(self.samples))):
                for entry in getattr(quantity, key):
                    if entry not in known:
                        near = difflib.get_close_matches(entry, known, n=1)
                        hint = f"; did you mean '{near[0]}'?" if near else f"; there are: {', '.join(known) or 'none'}"
                        raise ValueError(f"regression.{name}.{key}: '{entry}' is not one of the {key}{hint}")
            if not any(self._is_defined(quantity, sample) for sample in self.nominal_samples):
                raise ValueError(f"regression.{name}: no sample has it; change its 'classes' or 'samples'")
        branches: dict[str, str] = {}  # of friend trees
        for name in self.classes:
            if (other := branches.setdefault(name.replace("-", "_"), name)) != name:
                raise ValueError(f"classes: '{other}' and '{name}' have the same branch in friend trees; rename one of them")
        for name, quantity in self.regression.items():
            for column in quantity_columns(name, tuple(quantity.quantiles)):
                if (other := branches.setdefault(column, name)) != name or column in self.classes:
                    raise ValueError(f"regression.{name}: '{other}' has the same branch in friend trees; rename one of them")

    @property
    def variation_samples(self) -> list[str]:
        """The samples that a systematic variation uses instead of others."""
        used = {other for *_, variation in variations.variations(self) for other in variation.samples.values()}
        return [name for name in self.samples if name in used]

    @property
    def data_samples(self) -> list[str]:
        """The samples of recorded data."""
        return [name for name, sample in self.samples.items() if sample.data]

    @property
    def nominal_samples(self) -> list[str]:
        """The samples that the model is made and tested with: all but data and variations."""
        others = {*self.data_samples, *self.variation_samples}
        return [name for name in self.samples if name not in others]

    def _check_decorrelation(self) -> None:
        decorrelate = self.training.decorrelate
        if decorrelate and decorrelate.observer not in self.observers:
            near = difflib.get_close_matches(decorrelate.observer, self.observers, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(self.observers) or 'none'}; add it there"
            raise ValueError(f"training.decorrelate.observer: '{decorrelate.observer}' is not one of the 'observers'; {hint}")

    def _is_defined(self, quantity: QuantityConfig, sample: str) -> bool:
        if self.samples[sample].data:
            return False
        label = self.samples[sample].label or self.label or ""
        return quantity.is_defined(sample=sample, label=label, classes=self.classes)

    def _check_without_classes(self) -> None:
        """What is for classes only has no meaning without them."""
        meant_for_classes = {
            "evaluation.signal": self.evaluation.signal,
            "training.label_smoothing": self.training.label_smoothing,
            "training.decorrelate": self.training.decorrelate,
            "training.calibrate": self.training.calibrate != "none",
        }
        for key, value in meant_for_classes.items():
            if value:
                raise ValueError(f"{key}: has no meaning without 'classes'; remove it, or add them")

    def quantities_of(self, sample: str) -> dict[str, QuantityConfig]:
        """The regressed quantities that examples of a sample can have; none for data."""
        return {name: quantity for name, quantity in self.regression.items() if self._is_defined(quantity, sample)}

    def _check_preprocess_json(self) -> None:
        """ParticleNetConstructor identifies variables and groups by name, so names must be unique."""
        if not self.classes:
            raise ValueError(
                "export.preprocess_json: the producers that take one read probabilities, and there are no 'classes'; remove it"
            )
        owner: dict[str, str] = {}
        for name, inputs in self.inputs.items():
            if inputs.sort_by:
                raise ValueError(
                    f"export.preprocess_json: inputs.{name} has 'sort_by', but a preprocess.json keeps the tag info's order; "
                    "remove one of the two"
                )
            for group, what in ((mask_group(name), "mask"), (vectors_group(name), "four-vectors")):
                if group in self.inputs:
                    raise ValueError(f"inputs.{group}: export.preprocess_json needs this name for the {what} of '{name}'")
            for text in inputs.features:
                if text in owner:
                    raise ValueError(
                        f"export.preprocess_json: the feature '{text}' is in inputs.{owner[text]} and in inputs.{name}, but a "
                        "preprocess.json has only one variable per name; remove it from one of the two, or remove preprocess_json"
                    )
                owner[text] = name

    @property
    def signal(self) -> str | None:
        """The signal class; None without classes."""
        return self.evaluation.signal or self.classes[-1] if self.classes else None

    @property
    def studies(self) -> tuple[str, ...]:
        """What a run measures besides, by the names of contract.results.STUDIES: all whose inputs are there."""
        by_choice = {
            "importance": self.evaluation.importance,
            "data": bool(self.data_samples),
            "systematics": bool(self.systematics),
        }
        return ("inputs", *(name for name, is_asked_for in by_choice.items() if is_asked_for))

    @property
    def baseline_features(self) -> tuple[str, ...]:
        """The features of the boosted trees."""
        flat = [text for inputs in self.inputs.values() if inputs.max_length is None for text in inputs.features]
        return tuple(self.baseline.features or flat)

    @property
    def stored(self) -> tuple[str, ...]:
        """Expressions stored for each example besides the model's inputs: for boosted trees, `flatten`, figures,
        systematics."""
        against = [text for quantity in self.regression.values() for text in quantity.against]
        return tuple(dict.fromkeys([*self._stored_of_all, *against, *self._factors]))

    @property
    def _stored_of_all(self) -> tuple[str, ...]:
        return (*self.baseline_features, *(self.flatten.variables if self.flatten else ()), *self._declared)

    @property
    def _declared(self) -> tuple[str, ...]:
        return tuple(observer.expression or name for name, observer in self.observers.items())

    @property
    def _factors(self) -> tuple[str, ...]:
        """Of systematic variations, on the weight."""
        return tuple(variation.weight for *_, variation in variations.variations(self) if variation.weight)

    def stored_of(self, sample: str) -> tuple[str, ...]:
        """Those that a sample has: all but those of quantities that it does not have; of data, the declared observers."""
        if self.samples[sample].data:
            absent = set(self.samples[sample].absent)
            return tuple(text for text in self._declared if absent.isdisjoint(branches_of([text], self.define)))
        factors = () if sample in self.variation_samples else self._factors
        against = [text for quantity in self.quantities_of(sample).values() for text in quantity.against]
        return tuple(dict.fromkeys([*self._stored_of_all, *against, *factors]))


def _check_expression(key: str, text: str, *, names: Sequence[str], kind: str, similarity: float) -> None:
    """Check an expression for an index into `names`; refuse one that looks like a misspelt name (`similarity`, from 0 to 1)."""
    try:
        expression = Expression(text)
    except ExpressionError as error:
        raise ValueError(f"{key}: neither {kind} ({', '.join(names)}) nor an expression: {error}") from None
    near = difflib.get_close_matches(text, names, n=1, cutoff=similarity)
    if near and expression.branches == (text,):
        raise ValueError(f"{key}: '{text}' is not {kind}; did you mean '{near[0]}'?")
