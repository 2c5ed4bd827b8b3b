"""Whether the challenger beats the champion on the declared gates, and the alias `champion` for it if it does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import mlflow
from mlflow.entities.model_registry import ModelVersion

from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.figures import Bound, fitting
from cyclotrain.contract.results import Evaluation, Figure
from cyclotrain.contract.run import Run
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.tracking.registry import CHALLENGER, CHAMPION, MODEL_SHA256, fetch_registered, version_of
from cyclotrain.tracking.store import opened

Verdict = Literal["better", "worse", "equal within the uncertainty", "bound not met", "bound met"]


@dataclass(frozen=True)
class Comparison:
    """A figure with a gate, of both models on the same test events; champion: None where only the bound counts."""

    figure: str
    challenger: Figure
    champion: Figure | None
    bound: str
    verdict: Verdict


def compared(
    challenger: Mapping[str, Figure], champion: Mapping[str, Figure], *, bounds: Mapping[str, Sequence[str]]
) -> list[Comparison]:
    """Each figure that has gates, with the verdict on the challenger; bounds: by name or pattern, as in `gates` of the config.

    A figure is better or worse in the sense of its bound, by more than the larger of the two uncertainties. Only the bound
    counts for what the champion has no figure of, for p-values, and for figures with limits on both sides.
    """
    rows = []
    for pattern, texts in bounds.items():
        for name in fitting(pattern, challenger) or [pattern]:
            limits = [Bound.parse(text) for text in texts]
            ours, theirs = challenger.get(name, Figure(value=None)), champion.get(name)
            if "p_value" in name or len({limit.relation for limit in limits}) > 1:
                theirs = None
            rows.append(Comparison(name, ours, theirs, " and ".join(map(str, limits)), _verdict(ours, theirs, limits)))
    return rows


def _verdict(ours: Figure, theirs: Figure | None, limits: Sequence[Bound]) -> Verdict:
    if ours.value is None or not all(limit.holds(ours.value) for limit in limits):
        return "bound not met"
    if theirs is None:
        return "bound met"
    if theirs.value is None:  # nothing is left to measure it with, such as background for an infinite rejection
        return "worse" if limits[0].relation == ">=" else "bound met"
    gain = {
        ">=": ours.value - theirs.value,
        "<=": theirs.value - ours.value,
        "absolute <=": abs(theirs.value) - abs(ours.value),
    }[limits[0].relation]
    if abs(gain) <= max(ours.uncertainty or 0.0, theirs.uncertainty or 0.0):
        return "equal within the uncertainty"
    return "better" if gain > 0 else "worse"


def beats(rows: Sequence[Comparison]) -> bool:
    """Whether the challenger meets all bounds, is worse in no figure, and better in one."""
    verdicts = {row.verdict for row in rows}
    return "better" in verdicts and not verdicts & {"worse", "bound not met"}


def table(rows: Sequence[Comparison]) -> Iterator[str]:
    """The lines of a table."""
    cells = [("figure", "challenger", "champion", "bound", "verdict")]
    cells += [(r.figure, _cell(r.challenger), _cell(r.champion) if r.champion else "-", r.bound, r.verdict) for r in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(figure: Figure) -> str:
    if figure.value is None:
        return "no value"
    return f"{figure.value:.5g}" + ("" if figure.uncertainty is None else f" ± {figure.uncertainty:.2g}")


def promote(
    run: Run,
    *,
    tracking: TrackingConfig,
    bounds: Mapping[str, Sequence[str]],
    evaluate: Callable[[Path], Evaluation],
) -> tuple[bool, str]:
    """Give the alias `champion` to the model of a run if it is the challenger and beats the present champion.

    Without a champion, it needs none to beat. evaluate: the figures of an exported model on the test events of the run. Returns
    whether the model is the champion now, and what to tell. Raises InputError if the run is not the challenger, if no gate is
    declared, or if the champion cannot be loaded or compared.
    """
    name = tracking.register_as
    if not name:
        raise InputError(
            "tracking.register_as: give the name in MLflow's registry, and run the workflow again, to promote its model"
        )
    if not bounds:
        raise InputError("gates: declare at least one, such as auc.<background>: '>= 0.9', by which models are compared")
    with opened(tracking.uri) as client:
        challenger, champion = (version_of(client, name, alias) for alias in (CHALLENGER, CHAMPION))
        sha256 = file_sha256(run.files["model"])
        if champion and champion.tags.get(MODEL_SHA256) == sha256:
            return True, f"version {champion.version} of '{name}' is the champion already"
        if challenger is None or challenger.tags.get(MODEL_SHA256) != sha256:
            other = f"that is version {challenger.version}, of run '{challenger.tags.get('run')}'" if challenger else "none"
            raise InputError(
                f"the model of run '{run.contract.run}' is not the challenger of '{name}' in '{tracking.uri}': {other}. Run the "
                "workflow with this config, all gates passed, or promote with the config of that run"
            )
        lines = [f"challenger: version {challenger.version} of '{name}', run '{run.contract.run}'"]
        if champion:
            rows = compared(run.figures(), _figures_of(champion, tracking.uri, evaluate), bounds=bounds)
            lines += [f"champion:   version {champion.version}, run '{champion.tags.get('run')}'"]
            lines += [f"both on the {run.evaluation.test_examples:,} test examples of this run", "", *table(rows), ""]
            if not beats(rows):
                lines.append("Not promoted: a challenger meets all bounds, is worse in no figure, and better in one.")
                return False, "\n".join(lines)
        _make_champion(client, challenger, champion)
        lines.append(f"Promoted: version {challenger.version} is the champion, models:/{name}@{CHAMPION}.")
        if champion:
            lines[-1] += f" Version {champion.version} was."
        text = "\n".join(lines)
        client.log_text(challenger.run_id, text + "\n", "promotion.txt")
        return True, text


def _figures_of(champion: ModelVersion, uri: str, evaluate: Callable[[Path], Evaluation]) -> dict[str, Figure]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "champion.onnx"
        try:
            fetch_registered(f"models:/{champion.name}/{champion.version}", key=CHAMPION, uri=uri, path=path)
            return evaluate(path).figures()
        except InputError as error:
            raise InputError(
                f"the champion, version {champion.version} of '{champion.name}', cannot be compared: {error}\nIf this model is "
                f"to follow it without a comparison, remove the alias '{CHAMPION}' on the page of '{champion.name}' in MLflow, "
                "and promote again"
            ) from error


def _make_champion(client: mlflow.MlflowClient, challenger: ModelVersion, champion: ModelVersion | None) -> None:
    over = f"version {champion.version}" if champion else "none"
    client.set_model_version_tag(challenger.name, challenger.version, "promoted_over", over)
    client.set_registered_model_alias(challenger.name, CHAMPION, challenger.version)
    client.delete_registered_model_alias(challenger.name, CHALLENGER)
