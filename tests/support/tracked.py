"""A finished run of a toy model, as the rule `track` hands it over."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclotrain.contract.results import Gates
from cyclotrain.contract.run import Run
from cyclotrain.deploy.reference import write_reference
from cyclotrain.tracking.runs import FinishedRun
from support.trained import Trained


def finished_run(trained: Trained, folder: Path, gates: Gates | None = None, **config: Any) -> FinishedRun:
    """The run with a plot and a card in `folder`; other gates than its own, and keys of the config."""
    (folder / "plots").mkdir(exist_ok=True)
    (folder / "plots/roc.png").write_bytes(b"png")
    (folder / "card.md").write_text("card")
    run = trained.run()
    if gates:
        gates.write(folder / "gates.json")
        run = replace(run, gates=gates, files={**run.files, "gates": folder / "gates.json"})
    return FinishedRun(
        config={**trained.config.model_dump(), **config},
        folder=folder,
        models={folder: run},
        references=[reference(trained)],
        files=[folder / "plots/roc.png", folder / "card.md"],
    )


def finished_folds(folds: list[Trained], folder: Path, **config: Any) -> FinishedRun:
    """A cross-training, whose folds are these models."""
    runs: dict[Path, Run] = {}
    files = [folder / "summary.txt"]
    for index, trained in enumerate(folds):
        part = folder / f"fold-{index}"
        part.mkdir(exist_ok=True, parents=True)
        (part / "card.md").write_text(f"card of fold {index}")
        files.append(part / "card.md")
        runs[part] = trained.run()
    files[0].write_text("both folds")
    return FinishedRun(
        config={**folds[0].config.model_dump(), "folds": len(folds), **config},
        folder=folder,
        models=runs,
        references=[reference(trained) for trained in folds],
        files=files,
    )


def reference(trained: Trained) -> Path:
    """Its reference vectors."""
    folder = trained.folder / "reference"
    if not folder.exists():
        write_reference(trained.contract, trained.onnx, shards=trained.shards, folder=folder)
    return folder / "reference.json"
