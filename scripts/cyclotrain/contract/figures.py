"""The names of the figures of a run, by which gates, MLflow and people ask for them, and limits of their values.

`scorer`: what gives the scores or estimates, if it is not the model: `boosted_trees`, or a variant by its kind.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, cast, get_args

Relation = Literal[">=", "<=", "absolute <="]


def auc(background: str, scorer: str | None = None) -> str:
    """The area under the ROC curve of the signal against a background."""
    return _of(f"auc.{background}", scorer)


def rejection(background: str, efficiency: float, scorer: str | None = None) -> str:
    """1 / background efficiency at a signal efficiency."""
    return _of(f"rejection.{background}.at_{efficiency:g}", scorer)


def auc_against_rest(class_name: str, scorer: str | None = None) -> str:
    """The area under the ROC curve of a class against all others; with more than two classes."""
    return _of(f"auc.{class_name}.vs_rest", scorer)


def auc_of_pair(first: str, second: str) -> str:
    """The area under the ROC curve of one class against another; neither is the signal, and their order is that of `classes`."""
    return f"auc.{first}.vs_{second}"


def rejection_of_rest(class_name: str, efficiency: float, scorer: str | None = None) -> str:
    """1 / efficiency of all other classes at an efficiency of one class; with more than two classes."""
    return _of(f"rejection.{class_name}.vs_rest.at_{efficiency:g}", scorer)


def efficiency_at_mistag(background: str, mistag: float) -> str:
    """The signal efficiency of the cut that keeps a share of a background."""
    return f"efficiency.{background}.at_mistag_{mistag:g}"


def efficiency_at_mistag_of_rest(signal: str, mistag: float) -> str:
    """The signal efficiency of the cut that keeps a share of all other classes; with more than two classes."""
    return f"efficiency.{signal}.vs_rest.at_mistag_{mistag:g}"


def accuracy(scorer: str | None = None) -> str:
    """The share of the examples whose class of largest probability is the true one."""
    return _of("accuracy", scorer)


def balanced_accuracy(scorer: str | None = None) -> str:
    """The mean of this share over the true classes."""
    return _of("balanced_accuracy", scorer)


def bias(quantity: str, scorer: str | None = None) -> str:
    """The median of the response, minus 1 for a ratio."""
    return _of(f"bias.{quantity}", scorer)


def resolution(quantity: str, scorer: str | None = None) -> str:
    """Half of the width of the central 68.3 % of the response."""
    return _of(f"resolution.{quantity}", scorer)


def coverage(quantity: str, quantile: float, scorer: str | None = None) -> str:
    """The share of the targets that are not above an estimated quantile."""
    return _of(f"coverage.{quantity}.at_{quantile:g}", scorer)


def rejection_loss(variant: str) -> str:
    """The largest fraction of the model's rejection that a variant loses."""
    return f"rejection_loss.{variant}"


def ks_p_value(class_name: str) -> str:
    """The p-value of the Kolmogorov-Smirnov test, scores of the training split against the test split."""
    return f"ks_p_value.{class_name}"


def chi2_p_value(class_name: str) -> str:
    """The p-value of the chi-square test, scores of the training split against the test split."""
    return f"chi2_p_value.{class_name}"


def sculpting(observer: str, background: str, efficiency: float) -> str:
    """The Jensen-Shannon divergence of an observer of background above a cut, at a signal efficiency, from that below."""
    return f"sculpting.{observer}.{background}.at_{efficiency:g}"


def sculpting_at_mistag(observer: str, background: str, mistag: float) -> str:
    """The same for the cut that keeps a share of the background."""
    return f"sculpting.{observer}.{background}.at_mistag_{mistag:g}"


def distance_correlation(observer: str, background: str) -> str:
    """The distance correlation of an observer and the score of a background: 0 if they are independent, at most 1."""
    return f"distance_correlation.{observer}.{background}"


def calibration_error(class_name: str) -> str:
    """The mean of |probability - fraction| over bins of the probability of a class."""
    return f"calibration_error.{class_name}"


def non_finite(set_name: str) -> str:
    """The largest share of values of a feature of a set that are NaN or infinite, over features, classes and splits."""
    return f"non_finite.{set_name}"


def clipped(set_name: str) -> str:
    """The largest share of values of a feature of a set that are cut after standardisation."""
    return f"clipped.{set_name}"


def data_chi2_p_value(set_name: str, text: str) -> str:
    """Of the chi-square test, data against simulation, of a feature of a set, an `observer` or a `score`."""
    return f"data_chi2_p_value.{set_name}.{text}"


def data_ks_p_value(set_name: str, text: str) -> str:
    """Of the Kolmogorov-Smirnov test, data against simulation, of what has one value an example."""
    return f"data_ks_p_value.{set_name}.{text}"


def systematic(name: str, direction: str, what: str, background: str, *, at: float | None = None) -> str:
    """What a variation shifts: `auc`, or at a working point `rejection`, `signal_efficiency` or `background_efficiency`."""
    point = "" if at is None else f".at_{at:g}"
    return f"systematic.{name}.{direction}.{what}.{background}{point}"


DATA_P_VALUE = "data_p_value"  # the smallest one of the chi-square tests, times their number (Bonferroni)


def parity(artefact: str) -> str:
    """The largest difference from PyTorch on the test split."""
    return f"parity.{artefact}"


def latency(percentile: str) -> str:
    """The latency of one example on one thread, in ms."""
    return f"latency_ms.{percentile}"


def throughput(batch_size: int) -> str:
    """Examples per second on one thread."""
    return f"throughput.batch_{batch_size}"


COLD_START = "cold_start_ms"


def gain(variant: str, of: str) -> str:
    """What the model takes over what a variant takes."""
    return f"gain.{variant}.{of}"


def of_scorer(name: str, scorer: str) -> str:
    """A figure of the model, of another scorer."""
    return _of(name, scorer)


def _of(name: str, scorer: str | None) -> str:
    return f"{name}.{scorer}" if scorer else name


def fitting(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern fits. `*` stands for one part, between points that are no decimal points."""
    expression = re.escape(pattern).replace(r"\*", r"(?:[^.]|(?<=\d)\.(?=\d))*")
    return [name for name in names if re.fullmatch(expression, name)]


@dataclass(frozen=True)
class Bound:
    """A limit of a figure, written `>= 0.97`, `<= 1`, or `absolute <= 0.1` for a figure on both sides of 0.

    `not_worse_than old` is a limit too: the figure of another scorer, `than`, for figures of which more is better.
    """

    relation: Relation
    limit: float
    than: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for another text. Of `not_worse_than`, the limit is not known yet."""
        if match := re.fullmatch(r"\s*not_worse_than\s+(\S+)\s*", text):
            return cls(">=", -math.inf, match[1])
        number = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
        relations = "|".join(get_args(Relation))
        if not (match := re.fullmatch(rf"\s*({relations})\s*({number})\s*", text)):
            raise ValueError(f"'{text}' is no bound; write '>= 0.97', '<= 1', 'absolute <= 0.1' or 'not_worse_than old'")
        return cls(cast(Relation, match[1]), float(match[2]))

    def holds(self, value: float) -> bool:
        """Whether a value is on the right side; the limit itself is."""
        match self.relation:
            case ">=":
                return value >= self.limit
            case "<=":
                return value <= self.limit
            case "absolute <=":
                return abs(value) <= self.limit

    def __str__(self) -> str:
        if self.than is None:
            return f"{self.relation} {self.limit:g}"
        known = f" ({self.limit:.4g} with its uncertainty)" if math.isfinite(self.limit) else ""
        return f"not worse than {self.than}{known}"
