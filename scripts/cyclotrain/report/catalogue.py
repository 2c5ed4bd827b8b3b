"""All figures of a run: what draws each, from which results, and what people are told of it.

The rule `plot`, the report, the model card and MLflow take from here which figures there are, so a figure is a function in
`report/plots/` and an entry here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cyclotrain.config import Config
from cyclotrain.config.compared import compared_with_data
from cyclotrain.contract.results import OBSERVER, SCORE

PERFORMANCE, TRUST, REGRESSION, TRAINING, SPEED = "Performance", "Trust", "Regressed quantities", "Training", "Speed"
INPUTS, DATA, SYSTEMATICS = "Inputs", "Data and simulation", "Systematic uncertainties"
_PANELS = 12  # of a figure of small multiples

WITHOUT_LABEL = (TRAINING, SPEED)  # of the experiment


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure. name: of its files; function: `module.function` in `report/plots`; results: what the function reads.

    options: keyword arguments of the function. is_wide: whether it has several panels side by side.
    is_on_card: whether the model card has it too.
    """

    name: str
    function: str
    results: tuple[str, ...]
    section: str
    title: str
    caption: str
    options: Mapping[str, str] = field(default_factory=dict)
    is_wide: bool = False
    is_on_card: bool = False


LEARNING_RATES = Plot(
    name="learning_rates",
    function="training.rates",
    results=("learning_rate",),
    section=TRAINING,
    title="Learning rate",
    caption="The loss, averaged over steps, while the learning rate rises from step to step. Suggested: a rate well below that "
    "at which the loss rises.",
)


def plots(config: Config) -> list[Plot]:
    """The figures of a run, in the order in which they are shown."""
    of_model = [*_of_classes(config), *_of_observers(config), *_of_quantities(config)]
    return [*of_model, *_of_inputs(config), *_of_importance(config), *_of_data(config), *_of_systematics(config), *_of_training()]


def plot(config: Config, name: str) -> Plot:
    """The figure of this name; raises KeyError if the run has none."""
    return {entry.name: entry for entry in [*plots(config), LEARNING_RATES]}[name]


def _of_classes(config: Config) -> Iterator[Plot]:
    if not config.classes:
        return
    signal = config.signal
    points = ", ".join(f"{efficiency:.0%}" for efficiency in config.evaluation.signal_efficiencies)
    earlier = f", and earlier models ({', '.join(config.compare)})" if config.compare else ""
    compared = f"the exported model, its variants, boosted trees on example-level features{earlier}, a colour each"
    band = "Bands and error bars: one standard deviation of 200 Poisson bootstrap replicas."
    yield Plot(
        name="roc",
        function="performance.roc",
        results=("evaluation", "curves"),
        section=PERFORMANCE,
        title="ROC",
        caption=f"Background rejection, 1 / background efficiency, against the efficiency of {signal} on the test split: "
        f"{compared}. The score is p({signal}) / (p({signal}) + p(background)). Points: the working points ({points}). {band} A "
        "curve ends where its uncertainty is as large as the background efficiency. †: negative weights, which count as they "
        "are, take this AUC out of [0, 1].",
        is_wide=len(config.classes) > 2,
        is_on_card=True,
    )
    if len(config.classes) > 2:
        yield Plot(
            name="roc_against_rest",
            function="performance.roc_against_rest",
            results=("evaluation", "curves"),
            section=PERFORMANCE,
            title="ROC, each class against the rest",
            caption="Rejection of all other classes together, in the shares of their physics weights, against the efficiency of "
            f"each class on the test split: {compared}. The score is the probability of the class. Points: {points} efficiency. "
            f"{band}",
            is_wide=True,
        )
        yield Plot(
            name="areas",
            function="performance.areas",
            results=("evaluation",),
            section=PERFORMANCE,
            title="AUC of each pair of classes",
            caption="Area under the ROC curve of each pair of classes a and b on the test split, for the exported model. The "
            "score is p(a) / (p(a) + p(b)), so that the order of the two does not matter. Uncertainties: DeLong's.",
        )
    yield Plot(
        name="confusion",
        function="performance.confusion",
        results=("evaluation",),
        section=PERFORMANCE,
        title="Confusion matrix",
        caption="For each true class, the weighted share of the test examples by the class of largest probability, in per cent, "
        "with its statistical uncertainty. Each row sums to 100 %.",
    )
    for name, observer in config.observers.items():
        yield Plot(
            name=f"against_{name}",
            function="performance.against_observer",
            results=("evaluation", "curves"),
            section=PERFORMANCE,
            title=f"Efficiency and rejection against {name}",
            caption=f"What fixed cuts keep in bins of {observer.label or name}, on the test split: those that keep {points} of "
            f"{signal} in all bins together. Above: efficiency of {signal}; below: background rejection. Uncertainties are "
            "statistical, for a fixed cut. A rejection whose uncertainty is as large as itself is not drawn.",
            options={"observer": name},
            is_wide=len(config.classes) > 2,
        )
    settings = config.evaluation.working_points
    if settings.observer:
        rates = ", ".join(f"{name} {mistag:g}" for name, mistag in settings.mistag.items())
        yield Plot(
            name="working_points",
            function="performance.working_points",
            results=("evaluation", "curves"),
            section=PERFORMANCE,
            title=f"Working points in bins of {settings.observer}",
            caption=f"Thresholds of the score that keep the same share of background ({rates}) in each bin of the test split, "
            f"and the efficiency of {signal} there, as in `working_points/`. Its uncertainty has that of the threshold in it. "
            "Where a bin has too few background examples, there is no point.",
            is_wide=len(config.classes) > 2,
        )
    yield Plot(
        name="scores",
        function="trust.scores",
        results=("evaluation", "curves"),
        section=TRUST,
        title="Scores, training against test",
        caption=f"Probability of {signal} by class, for the training split (filled) and the test split (points). Each class is "
        "normalised to 1. KS p: p-value of the Kolmogorov-Smirnov test between the two splits; χ²: Gagunashvili's test of two "
        "weighted histograms, with bins merged until both have 10 effective entries, and below the pull of each, test - "
        "training. A small p-value is a sign of overtraining.",
        is_on_card=True,
    )
    yield Plot(
        name="calibration",
        function="trust.calibration",
        results=("evaluation",),
        section=TRUST,
        title="Calibration",
        caption="In 15 bins of the probability of a class: its mean, and the share of the test examples that are of the class. "
        "On the dashed line, a probability is a frequency. The weights and the shares of the classes are those of the training, "
        "which the network learns. Error: the mean distance from the line; by chance: what fluctuations alone make it.",
        is_on_card=True,
    )


def _of_observers(config: Config) -> Iterator[Plot]:
    points = " and ".join(f"{mistag:g}" for mistag in config.evaluation.working_points.mistag.values())
    for observer in config.observers:
        for background in (name for name in config.classes if name != config.signal):
            yield Plot(
                name=f"sculpting_{observer}_{background}",
                function="trust.sculpting",
                results=("evaluation", "curves"),
                section=TRUST,
                title=f"Sculpting of {observer} in {background}",
                caption=f"{observer} of {background} in the test split: of all examples, and of those that pass cuts on "
                f"p({config.signal}) / (p({config.signal}) + p({background})) with an efficiency ε({background}) of {points}, "
                "each normalised to 1; below, their ratio. The bins at the ends hold what lies beyond. JSD: Jensen-Shannon "
                "divergence (base 2) of the examples that pass from those that fail, 0 for the same shape and 1 for no overlap; "
                "by chance: what fluctuations alone make it.",
                options={"observer": observer, "background": background},
            )


def _of_quantities(config: Config) -> Iterator[Plot]:
    for name, quantity in config.regression.items():
        yield Plot(
            name=f"response_{name}",
            function="regression.response",
            results=("evaluation", "curves"),
            section=REGRESSION,
            title=f"Response of {name}",
            caption="How well the quantity is estimated on the test split: the distribution of estimate - target or estimate / "
            "target, and its median (bias) with half of the width of its central 68.3 % (resolution) in bins of the variables "
            "in `against`. For quantiles without the median: the share of targets below each.",
            options={"quantity": name},
            is_wide=bool(quantity.against),
            is_on_card=True,
        )


def _of_inputs(config: Config) -> Iterator[Plot]:
    for name, inputs in config.inputs.items():
        what = "example" if inputs.max_length is None else "real constituent"
        limit = f", and clipped at ±{inputs.limit:g} standard deviations" if inputs.limit is not None else ""
        for first, last, part in _pages(len(inputs.features)):
            yield Plot(
                name=f"inputs_{name}{part}",
                function="inputs.distributions",
                results=("inputs",),
                section=INPUTS,
                title=f"Features of {name}{part.replace('_', ', part ')}",
                caption=f"Each feature of {name} before standardisation, with a value for each {what}: the training split "
                "(filled) and the test split (points) of each class, each normalised to 1. What lies beyond an edge is in the "
                f"outermost bin. In the network, non-finite values are replaced by the training mean{limit}; above a panel, the "
                "largest share of such values in a class and split.",
                options={"set_name": name, "first": str(first), "last": str(last)},
                is_wide=True,
            )


def _of_importance(config: Config) -> Iterator[Plot]:
    if not config.evaluation.importance:
        return
    backgrounds = [name for name in config.classes if name != config.signal]
    measures = [(name, f"{config.signal}", f"AUC that is lost, {config.signal} against {name}") for name in backgrounds]
    measures += [(name, name, f"Mean absolute error of {name} that is added") for name in config.regression]
    for shuffled, attributed, what in measures:
        yield Plot(
            name=f"importance_{shuffled}" if len(measures) > 1 else "importance",
            function="importance.importance",
            results=("importance",),
            section=INPUTS,
            title=f"Importance of the features, {shuffled}" if len(measures) > 1 else "Importance of the features",
            caption="Left: what is lost if the values of one feature are shuffled among test examples, or among all their "
            "constituents; the mean of five parts of the examples, with its uncertainty. Right: integrated gradients, the mean "
            "of |attribution| over examples, from the training mean of all features to the example, with its uncertainty. A "
            "letter marks a group of features with correlations above 0.9. Correlated features share their importance: one "
            "of them alone may seem worthless, because the model reads the same from the others.",
            options={"shuffled": shuffled, "attributed": attributed, "what": what},
            is_wide=True,
        )


def _of_data(config: Config) -> Iterator[Plot]:
    titles = {OBSERVER: "Data: observers", SCORE: "Data: scores"}
    for name, texts in compared_with_data(config).items():
        title = titles.get(name, f"Data: features of {name}")
        for first, last, part in _pages(len(texts)):
            yield Plot(
                name=f"data_{name}{part}",
                function="data.compared",
                results=("data",),
                section=DATA,
                title=f"{title}{part.replace('_', ', part ')}",
                caption=f"Data ({', '.join(config.data_samples)}; points) and simulation (the test split of all classes, "
                "stacked, normalised to data), with their ratio below. Hatched: the statistical uncertainty of the simulation. "
                "What lies beyond an edge is in the outermost bin. χ² and KS: tests of the shape. Constituents of one example "
                "are correlated: their χ² takes that into account, and they have no KS test.",
                options={"set_name": name, "first": str(first), "last": str(last)},
                is_wide=True,
            )


def _of_systematics(config: Config) -> Iterator[Plot]:
    if not config.systematics:
        return
    backgrounds = [name for name in config.classes if name != config.signal]
    for background in backgrounds:
        yield Plot(
            name=f"systematics_{background}" if len(backgrounds) > 1 else "systematics",
            function="systematics.shifts",
            results=("systematics",),
            section=SYSTEMATICS,
            title=f"Shifts, {config.signal} against {background}",
            caption="What each variation of the simulation shifts on the test split: the area under the ROC curve, the rejection "
            "at the same signal efficiency, and the signal efficiency at the nominal threshold, both relative to their nominal "
            "values. Bars: the statistical uncertainty of the shift, from 50 bootstrap replicas by event: events that are in the "
            "nominal and in the varied sample fluctuate together.",
            options={"background": background},
            is_wide=True,
        )
    yield Plot(
        name="systematics_scores",
        function="systematics.scores",
        results=("systematics",),
        section=SYSTEMATICS,
        title="Scores under systematic variations",
        caption=f"Probability of {config.signal} by class on the test split, each normalised to 1, so that only shapes are "
        "varied. Band: the shifts of all variations in a direction, added in quadrature. Below: the ratio of variations to "
        "nominal, up as a full line and down as a dashed one, for the first six; dotted: the statistical uncertainty of the "
        "nominal sample.",
        is_wide=True,
    )


def _pages(n: int) -> Iterator[tuple[int, int, str]]:
    """The first panel of each page, the one after the last, and an ending for names; pages have about the same number."""
    pages = -(-n // _PANELS)
    for page in range(pages):
        yield page * n // pages, (page + 1) * n // pages, f"_{page + 1}" if pages > 1 else ""


def _of_training() -> Iterator[Plot]:
    yield Plot(
        name="loss",
        function="training.loss",
        results=("history",),
        section=TRAINING,
        title="Loss by epoch",
        caption="Weighted loss by epoch. The exported weights are those of the epoch with the lowest validation loss.",
        is_on_card=True,
    )
    yield Plot(
        name="latency",
        function="timing.latency",
        results=("timing",),
        section=SPEED,
        title="Latency and throughput",
        caption="Cost of the exported model on one CPU thread, in each ONNX Runtime of its targets and in each other form "
        "(dashed), in Python. Left: one test example at a time, over the real lengths, as in an event loop; the share of "
        "examples that take less than a time, with PyTorch for comparison. Right: examples per second by size of batch.",
        is_wide=True,
        is_on_card=True,
    )
