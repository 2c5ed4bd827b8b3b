"""The parts of evaluation.json and curves.json on how well a model tells the classes apart. Rule `evaluate`."""

from cyclotrain.contract.results.base import Figure, Frozen, Result

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
    """How well scores tell the signal from one background, or one class from all others."""

    auc: Figure
    rejection: tuple[WorkingPoint, ...]

    @property
    def auc_mark(self) -> str:
        """`area_mark` of the area."""
        return area_mark(self.auc.value or 0.0)

    @property
    def auc_in_words(self) -> str:
        """The area with its mark."""
        return "not measured" if self.auc.value is None else f"{self.auc.value:.4f}{self.auc_mark}"


class ComparedModel(Result):
    """An entry of `compare`: where the model was taken from, and the run that made it; note: what a reader must know."""

    name: str
    where: str
    run: str
    model_sha256: str
    note: str | None


class PairArea(Frozen):
    """The area under the ROC curve of one class against another; the order of the two does not matter."""

    first: str
    second: str
    auc: Figure


class Accuracy(Frozen):
    """The share of the weight whose class of largest probability is the true one: of all, and as the mean over true classes."""

    accuracy: Figure
    balanced: Figure


class Confusion(Frozen):
    """fraction[true class][class of largest probability], weighted; each row sums to 1, and is None without weight."""

    classes: tuple[str, ...]
    fraction: tuple[tuple[float | None, ...], ...]
    uncertainty: tuple[tuple[float | None, ...], ...]


class Cut(Frozen):
    """A threshold at which a share of the background is kept, measured on the test split.

    threshold: examples with a score of at least this are kept; None, as are the efficiencies, if there are too few examples to
    find it. The efficiencies are those of this threshold; at_mistag: the signal efficiency with the uncertainty of the threshold
    too, as another test split would give another one for the same mistag rate. low, high: the bin of the observer, None for all
    examples.
    """

    name: str
    mistag: float
    low: float | None = None
    high: float | None = None
    threshold: float | None
    background_efficiency: Figure
    signal_efficiency: Figure
    at_mistag: Figure


class MistagCuts(Frozen):
    """The cuts on the score of the signal against one background, or against all others (None).

    cuts: of all examples; in_bins: those of each bin of `observer`.
    """

    background: str | None
    cuts: tuple[Cut, ...]
    observer: str | None = None
    in_bins: tuple[Cut, ...] = ()


class RocCurve(Frozen):
    """Background efficiencies at signal efficiencies, each with its uncertainty, for plots; background: None for all others."""

    scorer: str
    signal: str
    background: str | None
    signal_efficiency: tuple[float, ...]
    background_efficiency: tuple[float, ...]
    uncertainty: tuple[float, ...]


class ObserverBins(Frozen):
    """The bins of an observer; outside, not_finite: the numbers of test examples that are in none."""

    label: str
    edges: tuple[float, ...]
    examples: dict[str, tuple[int, ...]]  # in each bin, by class
    outside: int
    not_finite: int


class Points(Frozen):
    """Numbers with uncertainties, None where nothing is measured."""

    value: tuple[float | None, ...]
    uncertainty: tuple[float | None, ...]


class ObserverEfficiency(Frozen):
    """What one cut keeps of signal and background in each bin of an observer.

    signal_efficiency: what the cut keeps of the signal in all bins together.
    """

    observer: str
    scorer: str
    background: str
    signal_efficiency: float
    threshold: float
    signal: Points
    backgrounds: Points
