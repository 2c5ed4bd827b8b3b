"""A finished run, or a fold of a cross-training, as its files tell it: what card, summary and tracking speak of."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cyclotrain.contract.contract import Contract
from cyclotrain.contract.results import (
    STUDIES,
    Dataset,
    Evaluation,
    Figure,
    Gates,
    History,
    Study,
    Timing,
    Verification,
    all_figures,
)

# of each result, in the folder of a run or fold
RESULT_FILES: Mapping[str, str] = {
    "contract": "model/contract.json",
    "model": "model/model.onnx",
    "weights": "train/weights.pt",
    "dataset": "dataset.json",
    "history": "train/history.jsonl",
    "learning_rate": "train/learning_rate.json",
    "verification": "verification.json",
    "evaluation": "evaluation.json",
    "curves": "curves.json",
    "timing": "timing.json",
    "gates": "gates.json",
    **{name: f"{name}.json" for name in STUDIES},
}


@dataclass(frozen=True)
class Run:
    """The contract and the results; `files` are their paths by the name of the attribute, and those of `model` and `weights`."""

    files: Mapping[str, Path]
    contract: Contract
    dataset: Dataset
    history: History
    verification: Verification
    evaluation: Evaluation
    timing: Timing
    gates: Gates
    studies: Mapping[str, Study]

    def figures(self) -> dict[str, Figure]:
        """All figures by name."""
        return all_figures(self.verification, self.evaluation, self.timing, self.studies.values())

    @classmethod
    def read(cls, files: Mapping[str, str | Path]) -> Self:
        """Read the files: model, weights, contract, dataset, history, verification, evaluation, timing, gates, studies."""
        return cls(
            files={name: Path(path) for name, path in files.items()},
            contract=Contract.read(files["contract"]),
            dataset=Dataset.read(files["dataset"]),
            history=History.read(files["history"]),
            verification=Verification.read(files["verification"]),
            evaluation=Evaluation.read(files["evaluation"]),
            timing=Timing.read(files["timing"]),
            gates=Gates.read(files["gates"]),
            studies={name: study.read(files[name]) for name, study in STUDIES.items() if name in files},
        )
