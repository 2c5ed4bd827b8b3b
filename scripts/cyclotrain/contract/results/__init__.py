"""The results of a run as typed, frozen classes: the one place that knows the keys of their JSON files.

A step measures and writes one of them; gates, card, summary, plots and tracking read attributes. A number that people or
gates refer to has one name, that of `figures()`: `auc.qcd`, `rejection.qcd.at_0.5`, `parity.model`, `latency_ms.p99`.
"""

from collections.abc import Iterable, Mapping

from cyclotrain.contract.results.base import (
    AOT_INDUCTOR,
    BOOSTED_TREES,
    FCCANALYSES,
    MODEL,
    NETWORK,
    TORCHSCRIPT,
    Figure,
    Frozen,
    Result,
    Study,
)
from cyclotrain.contract.results.data import OBSERVER, SCORE, ChiSquareTest, Comparison, DataComparison, KolmogorovTest
from cyclotrain.contract.results.dataset import (
    Constituents,
    Dataset,
    Flattened,
    FlattenedClass,
    FriendFile,
    InputFile,
    Sample,
    SampleRecipe,
    SkippedFile,
    Totals,
)
from cyclotrain.contract.results.evaluation import (
    Calibration,
    CalibrationBin,
    Coverage,
    Curves,
    Evaluation,
    ObserverHistogram,
    Overtraining,
    Regression,
    ResponseBin,
    ResponseHistogram,
    ScoreHistogram,
    Sculpting,
    SculptingCut,
)
from cyclotrain.contract.results.gates import Gate, Gates
from cyclotrain.contract.results.importance import FeatureImportance, Importance
from cyclotrain.contract.results.inputs import Feature, FeatureDistribution, Inputs
from cyclotrain.contract.results.performance import (
    OUTSIDE,
    OUTSIDE_NOTE,
    Accuracy,
    ComparedModel,
    Confusion,
    Cut,
    MistagCuts,
    ObserverBins,
    ObserverEfficiency,
    PairArea,
    Performance,
    Points,
    RocCurve,
    WorkingPoint,
    area_mark,
)
from cyclotrain.contract.results.systematics import SHIFTED, BackgroundShift, PointShift, Systematics, Variation
from cyclotrain.contract.results.timing import (
    TIMED_BATCHES,
    FormTiming,
    Gain,
    Percentiles,
    PytorchTiming,
    RuntimeTiming,
    Timing,
    VariantTiming,
)
from cyclotrain.contract.results.training import Epoch, History, LearningRateScan, Usage
from cyclotrain.contract.results.verification import (
    CaseParity,
    Float64Distance,
    ParityFailure,
    RuntimeNotRun,
    SessionParity,
    Verification,
)

__all__ = [
    "AOT_INDUCTOR",
    "BOOSTED_TREES",
    "FCCANALYSES",
    "MODEL",
    "NETWORK",
    "OBSERVER",
    "OUTSIDE",
    "OUTSIDE_NOTE",
    "SCORE",
    "SHIFTED",
    "STUDIES",
    "TIMED_BATCHES",
    "TORCHSCRIPT",
    "Accuracy",
    "BackgroundShift",
    "Calibration",
    "CalibrationBin",
    "CaseParity",
    "ChiSquareTest",
    "ComparedModel",
    "Comparison",
    "Confusion",
    "Constituents",
    "Coverage",
    "Curves",
    "Cut",
    "DataComparison",
    "Dataset",
    "Epoch",
    "Evaluation",
    "Feature",
    "FeatureDistribution",
    "FeatureImportance",
    "Figure",
    "Flattened",
    "FlattenedClass",
    "Float64Distance",
    "FormTiming",
    "FriendFile",
    "Frozen",
    "Gain",
    "Gate",
    "Gates",
    "History",
    "Importance",
    "InputFile",
    "Inputs",
    "KolmogorovTest",
    "LearningRateScan",
    "MistagCuts",
    "ObserverBins",
    "ObserverEfficiency",
    "ObserverHistogram",
    "Overtraining",
    "PairArea",
    "ParityFailure",
    "Percentiles",
    "Performance",
    "PointShift",
    "Points",
    "PytorchTiming",
    "Regression",
    "ResponseBin",
    "ResponseHistogram",
    "Result",
    "RocCurve",
    "RuntimeNotRun",
    "RuntimeTiming",
    "Sample",
    "SampleRecipe",
    "ScoreHistogram",
    "Sculpting",
    "SculptingCut",
    "SessionParity",
    "SkippedFile",
    "Study",
    "Systematics",
    "Timing",
    "Totals",
    "Usage",
    "VariantTiming",
    "Variation",
    "Verification",
    "WorkingPoint",
    "all_figures",
    "area_mark",
]


# What a run measures besides, each in a file of its own; the config says which (config.Config.studies).
STUDIES: Mapping[str, type[Study]] = {
    "inputs": Inputs,
    "importance": Importance,
    "data": DataComparison,
    "systematics": Systematics,
}


def all_figures(
    verification: Verification, evaluation: Evaluation, timing: Timing, studies: Iterable[Study] = ()
) -> dict[str, Figure]:
    """The figures of a run by name."""
    by_name = {**verification.figures(), **evaluation.figures(), **timing.figures()}
    for study in studies:
        by_name |= study.figures()
    return by_name
