"""The results of a run as typed, frozen classes: the one place that knows the keys of their JSON files.

A step measures and writes one of them; gates, card, summary, plots and tracking read attributes. A number that people or
gates refer to has one name, that of `figures()`: `auc.qcd`, `rejection.qcd.at_0.5`, `parity.model`, `latency_ms.p99`.
"""

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from cyclotrain.contract import figures
from cyclotrain.core.files import atomic, read_json_lines, write_json

# The exported model, which takes raw branches, among the files that are verified and among what gives scores. A variant goes by
# its kind.
MODEL = "model"
NETWORK = "network"  # alone, behind a preprocess.json
BOOSTED_TREES = "boosted_trees"

# What `area_mark` marks, wherever people read such a figure.
OUTSIDE = "†"
OUTSIDE_NOTE = (
    f"{OUTSIDE} AUC outside [0, 1]: negative weights are used as they are, so an efficiency can exceed 1, or fall when the cut "
    'gets looser (docs/your-own-ntuples.md, "Negative weights")'
)


def area_mark(area: float) -> str:
    """The mark of an area under a ROC curve that negative weights take out of [0, 1]; empty for others."""
    rounding = 1e-9  # of a sum of weights
    return OUTSIDE if not -rounding <= area <= 1 + rounding else ""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Result(_Frozen):
    """A result that is a JSON file."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read the file; raises pydantic's ValidationError for another content."""
        return cls.model_validate_json(Path(path).read_bytes())

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all; raises ValueError for NaN and infinity, which JSON does not have."""
        write_json(path, self.model_dump(mode="json"))


class Figure(_Frozen):
    """A number with its statistical uncertainty (one standard deviation); None where nothing is left to measure it."""

    value: float | None
    uncertainty: float | None = None


# --- the dataset: rule assemble ---


class Totals(_Frozen):
    """Examples and sums of weights of one class in one split."""

    events: int
    sum_of_weights: float
    negative_events: int
    sum_of_negative_weights: float


class SampleRecipe(_Frozen):
    """How the examples of a sample were chosen, labelled and weighted: expressions, as in the config."""

    label: str
    selection: tuple[str, ...]
    define: dict[str, str]
    weight: str | None
    split: dict[str, float] | str


class Sample(_Frozen):
    """What was read and kept of a sample, and what its weights are multiplied by."""

    events_read: int
    events_kept: int
    by_class: dict[str, dict[str, Totals]]
    recipe: SampleRecipe
    normalisation: float
    cross_section_pb: float | None = None
    luminosity_fb: float | None = None
    sum_of_generator_weights: float | None = None


class Constituents(_Frozen):
    """Constituents of a set that were read, and those beyond `max_length`, which the model does not see."""

    read: int
    cut_off: int
    examples_cut: int


class FlattenedClass(_Frozen):
    """What flattening does to a class in the training split."""

    events_outside: int
    sum_of_weights_outside: float
    empty_bins: int
    largest_factor: float


class Flattened(_Frozen):
    """The distribution that all classes have in training: bin edges by variable, and what that costs each class."""

    variables: dict[str, tuple[float, ...]]
    to: str
    classes: dict[str, FlattenedClass]


class FriendFile(_Frozen):
    """A friend tree's file."""

    path: str
    bytes: int
    uuid: str


class InputFile(_Frozen):
    """A ROOT file that was read; `xxh3` is None for a remote one."""

    path: str
    bytes: int
    uuid: str
    xxh3: str | None
    events: int
    kept: int
    friends: tuple[FriendFile, ...]
    sample: str
    sum_of_generator_weights: float | None = None


class SkippedFile(_Frozen):
    """A ROOT file that could not be read, and why."""

    path: str
    reason: str
    sample: str


class Dataset(_Result):
    """dataset.json: what the model was made from."""

    samples: dict[str, Sample]
    by_class: dict[str, dict[str, Totals]]
    constituents: dict[str, Constituents]
    flattening: Flattened | None
    files: tuple[InputFile, ...]
    skipped: tuple[SkippedFile, ...]
    shards: dict[str, str]  # XXH3 by path


# --- the training: rule train ---


class Epoch(_Frozen):
    """One pass over the training split; losses are weighted, `time` is its end in seconds since 1970.

    validation_auc: None without classes. validation_losses: by output, if there are several, over the examples that have it.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    validation_auc: float | None
    validation_losses: dict[str, float] = {}
    learning_rate: float
    seconds: float
    device: str
    time: float


class History(_Frozen):
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


class LearningRateScan(_Result):
    """The loss, averaged over steps, at learning rates that rise from step to step, and a rate to try."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float
    optimizer: str
    batch_size: int  # examples in a step of the optimiser


# --- parity: rule verify ---


class _Session(_Frozen):
    """An artefact in an ONNX Runtime session, and how that was made."""

    artefact: str
    runtime: str
    provider: str
    optimisation: str
    threads: int
    tf32: bool


class SessionParity(_Session):
    """How far one artefact in one ONNX Runtime session is from PyTorch.

    `max_abs`, `max_rel`, `max_ulps` and `max_abs_float64` (from PyTorch in float64) are of the test split, `max_abs_all_cases`
    of all cases. `tolerance`: of probabilities, on the test split; `hostile_tolerance`: where inputs are NaN, infinite, ±1e30 or
    denormal. `finite`: every answer is a probability.
    """

    tolerance: float
    hostile_tolerance: float
    finite: bool
    max_abs: float
    max_rel: float
    max_ulps: int
    max_abs_float64: float | None
    max_abs_all_cases: float
    worst_case: str
    cases: int
    cases_failed: int
    bitwise_repeatable: bool

    @property
    def is_on_gpu(self) -> bool:
        """Whether the session ran on an NVIDIA GPU."""
        return "CUDA" in self.provider


class CaseParity(_Session):
    """The session of the model that is farthest from PyTorch in one case."""

    case: str
    hostile: bool  # inputs are NaN, infinite, ±1e30 or denormal
    tolerance: float
    examples: int
    undefined: int  # hostile examples beyond the tolerance where PyTorch's own answer changes with rounding, in the worst session
    max_abs: float
    max_rel: float
    max_ulps: int
    worst_example: int
    finite: bool
    max_abs_float64: float | None


class ParityFailure(_Frozen):
    """An artefact that does not load in a runtime, or a case in which its answers differ by more than the tolerance."""

    artefact: str
    message: str
    loads: bool = True
    tf32: bool = False  # in a session that rounds to TF32


class RuntimeNotRun(_Frozen):
    """An ONNX Runtime release that could not be tried here."""

    runtime: str
    reason: str


class Float64Distance(_Frozen):
    """Largest distance from PyTorch in float64 on the test split."""

    onnxruntime: float
    torch_float32: float


class Verification(_Result):
    """verification.json: the exported files in every runtime against PyTorch."""

    tolerance: float
    model_sha256: str
    reference: str
    runtimes: tuple[str, ...]
    not_run: tuple[RuntimeNotRun, ...]
    test_examples: int
    max_abs: float  # the model on the test split
    max_abs_all_cases: float
    max_abs_float64: Float64Distance | None
    no_float64: str | None = None  # why the network has no answers in float64
    failures: tuple[ParityFailure, ...]
    evidence: str | None  # inputs and answers of the worst failure (.npz)
    matrix: tuple[SessionParity, ...]
    cases: tuple[CaseParity, ...]

    @property
    def passed(self) -> bool:
        """Whether every artefact loads and every case is within its tolerance."""
        return not self.failures

    @property
    def undefined(self) -> int:
        """The number of hostile examples that differ where no answer is defined."""
        return sum(case.undefined for case in self.cases)

    @property
    def hostile_examples(self) -> int:
        """The number of examples with hostile inputs."""
        return sum(case.examples for case in self.cases if case.hostile)

    @property
    def artefacts(self) -> tuple[str, ...]:
        """The files that were compared; the model is the first."""
        return tuple(dict.fromkeys(row.artefact for row in self.matrix))

    def sessions(self, artefact: str, *, tf32: bool = False) -> tuple[SessionParity, ...]:
        """The sessions of one artefact, in float32 or rounded to TF32."""
        return tuple(row for row in self.matrix if row.artefact == artefact and row.tf32 == tf32)

    def figures(self) -> dict[str, Figure]:
        """Largest difference on the test split: of each artefact, and of each as deployed, by runtime."""
        found = {figures.parity(name): Figure(value=max(s.max_abs for s in self.sessions(name))) for name in self.artefacts}
        for row in self.matrix:
            if row.optimisation == "enable_all" and row.threads == 1:
                device = ".CUDA" * row.is_on_gpu + ".TF32" * row.tf32
                found[figures.parity(f"{row.artefact}.{row.runtime.replace(' ', '_')}{device}")] = Figure(value=row.max_abs)
        return found


# --- physics: rule evaluate ---


class WorkingPoint(_Frozen):
    """Background rejection, 1 / background efficiency, at a signal efficiency."""

    signal_efficiency: float
    rejection: Figure


class Performance(_Frozen):
    """How well scores tell the signal from one background."""

    auc: Figure
    rejection: tuple[WorkingPoint, ...]

    @property
    def auc_mark(self) -> str:
        """`area_mark` of the area."""
        return area_mark(self.auc.value or 0.0)


class Overtraining(_Frozen):
    """Kolmogorov-Smirnov test of the signal probability, training against test split."""

    ks_distance: float
    p_value: float


class Confusion(_Frozen):
    """fraction[true class][class of largest probability], weighted; each row sums to 1."""

    classes: tuple[str, ...]
    fraction: tuple[tuple[float, ...], ...]


class CalibrationBin(_Frozen):
    """Examples whose probability of a class is between two values: its mean, and the share of them that is of the class."""

    low: float
    high: float
    probability: float
    fraction: Figure


class Calibration(_Frozen):
    """Whether the probability of a class is its share, with the weights of the training and the shares that classes have there.

    error: the expected calibration error; if_calibrated: what fluctuations alone would make it.
    """

    error: Figure
    if_calibrated: float
    bins: tuple[CalibrationBin, ...]


class ResponseBin(_Frozen):
    """Bias and resolution of the examples between two values of a variable."""

    low: float
    high: float
    examples: int
    bias: Figure
    resolution: Figure


class Coverage(_Frozen):
    """The share of the targets that are not above the estimated quantile."""

    quantile: float
    share: Figure


class Regression(_Frozen):
    """How well a quantity is estimated. The response is estimate - target (`difference`) or estimate / target (`ratio`).

    bias: the median of the response, minus 1 for a ratio; resolution: half of the width of its central 68.3 %. None, as are the
    bins of the variables in `against`, for quantiles without the median.
    """

    response: str
    examples: int
    bias: Figure | None
    resolution: Figure | None
    coverage: tuple[Coverage, ...]
    against: dict[str, tuple[ResponseBin, ...]]


class Evaluation(_Result):
    """evaluation.json: the physics of the exported model on the test split, and of what it is compared with.

    Without classes, there is no signal, no performance, no confusion, no overtraining and no calibration.
    """

    model_sha256: str
    test_examples: int
    signal: str | None
    performance: dict[str, dict[str, Performance]]  # by what gives the scores (MODEL, BOOSTED_TREES, a variant), by background
    rejection_loss: dict[str, float]  # the largest fraction of the model's rejection that each variant loses
    confusion: Confusion | None
    overtraining: dict[str, Overtraining]  # by class
    calibration: dict[str, Calibration] = {}  # by class
    regression: dict[str, dict[str, Regression]] = {}  # by what estimates (MODEL, BOOSTED_TREES, a variant), by quantity

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, if there are any."""
        return self.confusion.classes if self.confusion else ()

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The classes that are not the signal."""
        return tuple(self.performance.get(MODEL, {}))

    @property
    def note(self) -> str | None:
        """What a reader must know of the areas, if one is outside [0, 1]."""
        performances = [figures for by_background in self.performance.values() for figures in by_background.values()]
        return OUTSIDE_NOTE if any(figures.auc_mark for figures in performances) else None

    def figures(self) -> dict[str, Figure]:
        """All figures by name."""
        found: dict[str, Figure] = {}
        for scorer, by_background in self.performance.items():
            other = None if scorer == MODEL else scorer
            for background, performance in by_background.items():
                found[figures.auc(background, other)] = performance.auc
                for point in performance.rejection:
                    found[figures.rejection(background, point.signal_efficiency, other)] = point.rejection
        for scorer, by_quantity in self.regression.items():
            other = None if scorer == MODEL else scorer
            for name, quantity in by_quantity.items():
                if quantity.bias and quantity.resolution:
                    found[figures.bias(name, other)] = quantity.bias
                    found[figures.resolution(name, other)] = quantity.resolution
                found |= {figures.coverage(name, one.quantile, other): one.share for one in quantity.coverage}
        found |= {figures.rejection_loss(kind): Figure(value=loss) for kind, loss in self.rejection_loss.items()}
        found |= {figures.ks_p_value(name): Figure(value=test.p_value) for name, test in self.overtraining.items()}
        found |= {figures.calibration_error(name): one.error for name, one in self.calibration.items()}
        return found


class RocCurve(_Frozen):
    """Efficiencies of falling cuts on the scores, thinned for plots."""

    scorer: str
    background: str
    signal_efficiency: tuple[float, ...]
    background_efficiency: tuple[float, ...]


class ScoreHistogram(_Frozen):
    """Weighted distribution of the signal probability of one class in one split; the values sum to 1."""

    class_name: str
    split: str
    edges: tuple[float, ...]
    values: tuple[float, ...]
    variances: tuple[float, ...]


class ResponseHistogram(_Frozen):
    """Weighted distribution of the response of a quantity; the values sum to the share inside the edges."""

    scorer: str
    quantity: str
    edges: tuple[float, ...]
    values: tuple[float, ...]


class Curves(_Result):
    """curves.json: what the physics plots are drawn from, besides the figures of evaluation.json."""

    roc: tuple[RocCurve, ...]
    scores: tuple[ScoreHistogram, ...]
    responses: tuple[ResponseHistogram, ...] = ()


# --- speed: rule time_model ---

TIMED_BATCHES = (1, 32, 64, 128, 256, 512, 1024)


class Percentiles(_Frozen):
    """Of a latency, in ms."""

    p50: float
    p95: float
    p99: float


class RuntimeTiming(_Frozen):
    """What the model costs in one runtime, on one thread of the CPU."""

    runtime: str
    batch_1_latency_ms: Percentiles
    batch_1_quantiles_ms: tuple[float, ...]  # at 0, 1, ... 100 %
    examples_per_second: dict[int, float]  # by batch size
    cold_start_ms: float
    memory_mb: dict[int, float | None]  # by batch size; None where there is no /proc


class Gain(_Frozen):
    """What the model takes over what a variant takes; above 1 the variant is better."""

    batch_1_latency: float
    batch_1024_rate: float
    cold_start: float
    size: float


class VariantTiming(RuntimeTiming):
    """A variant in the runtime of this environment."""

    gain: Gain


class PytorchTiming(_Frozen):
    """PyTorch, eager, for one example."""

    batch_1_latency_ms: Percentiles
    batch_1_quantiles_ms: tuple[float, ...]


class Timing(_Result):
    """timing.json: latency and throughput of the exported model; the first runtime is that of this environment."""

    model_sha256: str
    machine: str
    conditions: str
    runtimes: tuple[RuntimeTiming, ...]
    variants: dict[str, VariantTiming]
    pytorch: PytorchTiming

    def figures(self) -> dict[str, Figure]:
        """All figures by name, of the runtime of this environment."""
        here = self.runtimes[0]
        found = {figures.latency(q): value for q, value in here.batch_1_latency_ms.model_dump().items()}
        found |= {figures.throughput(n): rate for n, rate in here.examples_per_second.items()}
        found[figures.COLD_START] = here.cold_start_ms
        for kind, variant in self.variants.items():
            found |= {figures.gain(kind, name): value for name, value in variant.gain.model_dump().items()}
        return {name: Figure(value=value) for name, value in found.items()}


# --- verdicts: rule gates ---


class Gate(_Frozen):
    """A verdict: `value` is to be on the right side of `limit`, such as `>= 0.97`; `message` says what failed, and where.

    `value` is None where there is none: a file that does not load, an answer that is not a probability, nothing that is left to
    measure. `uncertainty`: one standard deviation of the value; the verdict does not take it into account.
    """

    name: str
    value: float | None
    uncertainty: float | None = None
    limit: str
    passed: bool
    message: str = ""

    @property
    def value_in_words(self) -> str:
        """The value, with `area_mark` if it is an area."""
        if self.value is None:
            return "no value"
        uncertainty = "" if self.uncertainty is None else f" ± {self.uncertainty:.2g}"
        return f"{self.value:.4g}{uncertainty}{area_mark(self.value) if self.name.startswith('auc.') else ''}"

    def __str__(self) -> str:
        words = f"{self.name} = {self.value_in_words}, required {self.limit}"
        return f"{words}; {self.message}" if self.message else words


class Gates(_Result):
    """gates.json: every verdict of a run."""

    gates: tuple[Gate, ...]

    @property
    def failed(self) -> tuple[Gate, ...]:
        """Those that failed."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def passed(self) -> bool:
        """Whether all passed."""
        return not self.failed


def all_figures(verification: Verification, evaluation: Evaluation, timing: Timing) -> dict[str, Figure]:
    """The figures of a run by name."""
    return {**verification.figures(), **evaluation.figures(), **timing.figures()}
