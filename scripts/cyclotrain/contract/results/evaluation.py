"""evaluation.json and curves.json: the physics of a model on the test split. Rule `evaluate`."""

from pydantic import Field

from cyclotrain.contract import figures
from cyclotrain.contract.results.base import MODEL, Figure, Frozen, Result
from cyclotrain.contract.results.performance import (
    OUTSIDE_NOTE,
    Accuracy,
    ComparedModel,
    Confusion,
    MistagCuts,
    ObserverBins,
    ObserverEfficiency,
    PairArea,
    Performance,
    RocCurve,
)


class Overtraining(Frozen):
    """The signal probability of a class, training against test split: Kolmogorov-Smirnov and chi-square test.

    p-values are None where a split has no weights, or no two bins with enough examples.
    """

    ks_distance: float | None
    p_value: float | None
    chi_square: float
    degrees: int
    chi2_p_value: float | None


class CalibrationBin(Frozen):
    """Examples whose probability of a class is between two values: its mean, and the share of them that is of the class."""

    low: float
    high: float
    probability: float
    fraction: Figure


class Calibration(Frozen):
    """Whether the probability of a class is its share, with the weights of the training and the shares that classes have there.

    error: the expected calibration error; if_calibrated: what fluctuations alone would make it.
    """

    error: Figure
    if_calibrated: float
    bins: tuple[CalibrationBin, ...]


class SculptingCut(Frozen):
    """What a cut on the score does to the distribution of an observer.

    The cut has a signal efficiency, or is_mistag, and keeps a share of the background: `at`. threshold: of p_signal /
    (p_signal + p_background). Threshold and the efficiencies that it has are None without weights. divergence: Jensen-Shannon, in
    bits, of the examples that pass from those that fail; if_same: what fluctuations alone would make it.
    """

    at: float
    is_mistag: bool
    threshold: float | None
    signal_efficiency: float | None
    background_efficiency: float | None
    divergence: Figure
    if_same: float


class Sculpting(Frozen):
    """How an observer of a background depends on the score.

    left_out: examples whose observer is not finite. distance_correlation: of observer and score, over at most 100,000 examples;
    if_independent: what fluctuations alone would make it; None if one of the two is the same for all.
    """

    examples: int
    left_out: int
    cuts: tuple[SculptingCut, ...]
    distance_correlation: float | None
    if_independent: float | None


class ResponseBin(Frozen):
    """Bias and resolution of the examples between two values of a variable."""

    low: float
    high: float
    examples: int
    bias: Figure
    resolution: Figure


class Coverage(Frozen):
    """The share of the targets that are not above the estimated quantile."""

    quantile: float
    share: Figure


class Regression(Frozen):
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


class Evaluation(Result):
    """evaluation.json: the physics of the exported model on the test split, and of what it is compared with.

    Without classes, there is no signal, no performance, no confusion, no overtraining and no calibration. With two, the signal
    against the background says all, and `against_rest` and `pairs` are empty.
    """

    model_sha256: str
    test_examples: int
    signal: str | None
    # by what gives the scores (MODEL, BOOSTED_TREES, a variant, an entry of `compare`), by background
    performance: dict[str, dict[str, Performance]]
    against_rest: dict[str, dict[str, Performance]] = Field({})  # by what gives the scores, by class
    pairs: tuple[PairArea, ...] = ()  # of the model, those without the signal
    accuracy: dict[str, Accuracy] = Field({})  # by what gives the scores
    mistag_cuts: tuple[MistagCuts, ...] = ()  # of the model
    compared: tuple[ComparedModel, ...] = ()
    rejection_loss: dict[str, float]  # the largest fraction of the model's rejection that each variant loses
    confusion: Confusion | None
    overtraining: dict[str, Overtraining]  # by class
    calibration: dict[str, Calibration] = Field({})  # by class
    sculpting: dict[str, dict[str, Sculpting]] = Field({})  # by observer, by background
    regression: dict[str, dict[str, Regression]] = Field({})  # by what estimates (MODEL, BOOSTED_TREES, a variant), by quantity

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, if there are any."""
        return self.confusion.classes if self.confusion else ()

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The classes that are not the signal."""
        return tuple(self.performance.get(MODEL, {}))

    def score_in_words(self, background: str | None) -> str:
        """What tells the signal from a background, or from all other classes (None), with `p` for a probability."""
        others = [background] if background else [name for name in self.classes if name != self.signal]
        return f"p({self.signal}) / ({' + '.join(f'p({name})' for name in (self.signal, *others))})"

    @property
    def missing_classes(self) -> tuple[str, ...]:
        """Those without a positive sum of weights in the test split, of which nothing is measured."""
        rows = zip(self.classes, self.confusion.fraction, strict=True) if self.confusion else ()
        return tuple(name for name, row in rows if None in row)

    @property
    def note(self) -> str | None:
        """What a reader must know of the figures: an area outside [0, 1], a class that the test split lacks."""
        performances = [figures for by_background in self.performance.values() for figures in by_background.values()]
        notes = [OUTSIDE_NOTE] if any(figures.auc_mark for figures in performances) else []
        if missing := self.missing_classes:
            notes.append(f"not measured: {', '.join(missing)}, without a positive sum of weights in the test split")
        return "; ".join(notes) or None

    def figures(self) -> dict[str, Figure]:
        """All figures by name."""
        by_name: dict[str, Figure] = {}
        for scorer, by_background in self.performance.items():
            other = None if scorer == MODEL else scorer
            for background, performance in by_background.items():
                by_name[figures.auc(background, other)] = performance.auc
                for point in performance.rejection:
                    by_name[figures.rejection(background, point.signal_efficiency, other)] = point.rejection
            for name, performance in self.against_rest.get(scorer, {}).items():
                by_name[figures.auc_against_rest(name, other)] = performance.auc
                for point in performance.rejection:
                    by_name[figures.rejection_of_rest(name, point.signal_efficiency, other)] = point.rejection
        for scorer, accuracy in self.accuracy.items():
            other = None if scorer == MODEL else scorer
            by_name |= {figures.accuracy(other): accuracy.accuracy, figures.balanced_accuracy(other): accuracy.balanced}
        by_name |= {figures.auc_of_pair(pair.first, pair.second): pair.auc for pair in self.pairs}
        for pair in self.mistag_cuts:
            efficiency = figures.efficiency_at_mistag if pair.background else figures.efficiency_at_mistag_of_rest
            by_name |= {efficiency(pair.background or self.signal or "", cut.mistag): cut.at_mistag for cut in pair.cuts}
        for scorer, by_quantity in self.regression.items():
            other = None if scorer == MODEL else scorer
            for name, quantity in by_quantity.items():
                if quantity.bias and quantity.resolution:
                    by_name[figures.bias(name, other)] = quantity.bias
                    by_name[figures.resolution(name, other)] = quantity.resolution
                by_name |= {figures.coverage(name, one.quantile, other): one.share for one in quantity.coverage}
        by_name |= {figures.rejection_loss(kind): Figure(value=loss) for kind, loss in self.rejection_loss.items()}
        for name, test in self.overtraining.items():
            by_name[figures.ks_p_value(name)] = Figure(value=test.p_value)
            by_name[figures.chi2_p_value(name)] = Figure(value=test.chi2_p_value)
        by_name |= {figures.calibration_error(name): one.error for name, one in self.calibration.items()}
        for observer, sculptings in self.sculpting.items():
            for background, sculpting in sculptings.items():
                for cut in sculpting.cuts:
                    named = figures.sculpting_at_mistag if cut.is_mistag else figures.sculpting
                    by_name[named(observer, background, cut.at)] = cut.divergence
                by_name[figures.distance_correlation(observer, background)] = Figure(value=sculpting.distance_correlation)
        return by_name


class ScoreHistogram(Frozen):
    """Weighted distribution of the signal probability of one class in one split; the values sum to 1."""

    class_name: str
    split: str
    edges: tuple[float, ...]
    values: tuple[float, ...]
    variances: tuple[float, ...]


class ObserverHistogram(Frozen):
    """Weighted distribution of an observer of a background in the test split; the values sum to 1.

    at_mistag: the share of the background that the cut keeps which the examples pass; None for all of them. Values beyond the
    edges are in the bins at the ends.
    """

    observer: str
    label: str
    background: str
    at_mistag: float | None
    edges: tuple[float, ...]
    values: tuple[float, ...]
    variances: tuple[float, ...]


class ResponseHistogram(Frozen):
    """Weighted distribution of the response of a quantity; the values sum to the share inside the edges."""

    scorer: str
    quantity: str
    edges: tuple[float, ...]
    values: tuple[float, ...]


class Curves(Result):
    """curves.json: what the physics plots are drawn from, besides the figures of evaluation.json."""

    roc: tuple[RocCurve, ...]  # of the signal against each background
    against_rest: tuple[RocCurve, ...] = ()  # of each class, with more than two
    observer_bins: dict[str, ObserverBins] = Field({})  # by observer
    observers: tuple[ObserverEfficiency, ...] = ()
    scores: tuple[ScoreHistogram, ...]
    responses: tuple[ResponseHistogram, ...] = ()
    sculpting: tuple[ObserverHistogram, ...] = ()
