"""The description of a run in MLflow: what it is, whether it is good, and where its files are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclotrain.contract.figures import fitting
from cyclotrain.contract.results import BOOSTED_TREES, Figure
from cyclotrain.contract.run import Run

_MAIN = ("auc.*", "rejection.*.*", "bias.*", "resolution.*", "coverage.*.*", "parity.model", "latency_ms.p99")
_ROWS = 20
_IN_A_LINE = 3


def of_model(run: Run, *, config: Mapping[str, Any], folder: Path) -> str:
    """Markdown of a model; `folder`: of its files."""
    evaluation, dataset = run.evaluation, run.dataset
    training = sum(by_split["train"].events for by_split in dataset.by_class.values())
    classes = f" of {', '.join(run.contract.classes)}" if run.contract.classes else ""
    model = f"`{config['model']['name']}`{classes}, trained on {training:,} examples in {len(run.history.epochs)} epochs"
    lines = [*_head(config, f"{model}, tested on {evaluation.test_examples:,}", [run]), "", *_figures(run)]
    lines += ["", f"Exported model: `{run.files['model']}`  ", f"All files: `{folder.resolve()}`"]
    return "\n".join(lines)


def in_a_line(run: Run) -> str:
    """The first figures, for the row of a version in the registry."""
    known = run.figures()
    names = [name for pattern in _MAIN for name in fitting(pattern, known)]
    cells = [f"{name} {known[name].value:.4g}" for name in names if known[name].value is not None]
    return ", ".join(cells[:_IN_A_LINE])


def of_models(runs: Sequence[Run], *, config: Mapping[str, Any], what: str, folder: str | Path) -> str:
    """Markdown of the parent of several models; `what`: what they are, such as `folds`."""
    lines = _head(config, f"{len(runs)} {what} of `{config['model']['name']}`; each is a run of its own below this one", runs)
    lines += ["", "A figure here is the mean over them, `spread.<figure>` their standard deviation."]
    return "\n".join([*lines, "", f"All files: `{folder}`"])


def _head(config: Mapping[str, Any], model: str, runs: Sequence[Run]) -> list[str]:
    """What a user sees first: the UI folds a description after some lines."""
    return [f"{model}.", "", *_verdict(runs), *(["", config["description"]] if config.get("description") else [])]


def _verdict(runs: Sequence[Run]) -> list[str]:
    """Whether all gates passed, or a line for each that failed."""
    failed = [(run.contract.run, gate) for run in runs for gate in run.gates.failed]
    total = sum(len(run.gates.gates) for run in runs)
    if not failed:
        return [f"**All {total} gates passed.**"]
    return [f"**{len(failed)} of {total} gates failed**, so nothing was made to deploy:", ""] + [
        f"- `{gate.name}` = {gate.value_in_words}, required {gate.limit}" + f" ({name})" * (len(runs) > 1)
        for name, gate in failed[:_ROWS]
    ]


def _figures(run: Run) -> list[str]:
    """A table of the main figures, with those of the boosted trees."""
    known = run.figures()
    names = [name for pattern in _MAIN for name in fitting(pattern, known)][:_ROWS]
    has_trees = any(f"{name}.{BOOSTED_TREES}" in known for name in names)
    lines = ["| figure | model |" + " boosted trees |" * has_trees, "|---|---|" + "---|" * has_trees]
    for name in names:
        trees = known.get(f"{name}.{BOOSTED_TREES}")
        lines.append(f"| `{name}` | {_cell(known[name])} |" + f" {_cell(trees) if trees else ''} |" * has_trees)
    return lines


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return "nothing to measure it with"
    return f"{figure.value:.4g}" + ("" if figure.uncertainty is None else f" ± {figure.uncertainty:.2g}")
