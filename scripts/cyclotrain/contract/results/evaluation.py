"""evaluation.json and curves.json: the physics of a model on the test split. Rule `evaluate`."""

from pydantic import Field

from cyclotrain.contract import figures
from cyclotrain.contract.results.base import MODEL, Figure, Frozen, Result

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


class WorkingPoint(Frozen):
    """Background rejection, 1 / background efficiency, at a signal efficiency."""

    signal_efficiency: float
    rejection: Figure


class Performance(Frozen):
    """How well scores tell the signal from one background."""

    auc: Figure
    rejection: tuple[WorkingPoint, ...]

    @property
    def auc_mark(self) -> str:
        """`area_mark` of the area."""
        return area_mark(self.auc.value or 0.0)


class Overtraining(Frozen):
    """Kolmogorov-Smirnov test of the signal probability, training against test split."""

    ks_distance: float
    p_value: float


class Confusion(Frozen):
    """fraction[true class][class of largest probability], weighted; each row sums to 1."""

    classes: tuple[str, ...]
    fraction: tuple[tuple[float, ...], ...]


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

    Without classes, there is no signal, no performance, no confusion, no overtraining and no calibration.
    """

    model_sha256: str
    test_examples: int
    signal: str | None
    performance: dict[str, dict[str, Performance]]  # by what gives the scores (MODEL, BOOSTED_TREES, a variant), by background
    rejection_loss: dict[str, float]  # the largest fraction of the model's rejection that each variant loses
    confusion: Confusion | None
    overtraining: dict[str, Overtraining]  # by class
    calibration: dict[str, Calibration] = Field({})  # by class
    regression: dict[str, dict[str, Regression]] = Field({})  # by what estimates (MODEL, BOOSTED_TREES, a variant), by quantity

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


class RocCurve(Frozen):
    """Efficiencies of falling cuts on the scores, thinned for plots."""

    scorer: str
    background: str
    signal_efficiency: tuple[float, ...]
    background_efficiency: tuple[float, ...]


class ScoreHistogram(Frozen):
    """Weighted distribution of the signal probability of one class in one split; the values sum to 1."""

    class_name: str
    split: str
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

    roc: tuple[RocCurve, ...]
    scores: tuple[ScoreHistogram, ...]
    responses: tuple[ResponseHistogram, ...] = ()
