"""The physics of a run and its figures: how long they take, and that their memory does not grow with the test split."""

from pathlib import Path

from benchmarks.figures import Figure, figure, memory, peak_memory, seconds_of
from benchmarks.sample import Sample
from cyclotrain.config.evaluation import EvaluationConfig
from cyclotrain.contract.results import BOOSTED_TREES, MODEL
from cyclotrain.evaluation.evaluate import evaluate
from cyclotrain.evaluation.predictions import EXAMPLES, Predictions
from cyclotrain.report.catalogue import plots
from cyclotrain.report.plots.draw import draw
from support.scored import contract_of, stored

_SMALL, _LARGE = 100_000, 10_000_000
_SECONDS = 90  # the aim
_CONTRACT = contract_of(("qcd", "top"))


def figures(sample: Sample, folder: Path) -> list[Figure]:
    """The figures of the evaluation; toys with two classes, boosted trees beside the model, and two observers."""
    folders = [folder / f"scored-{n}" for n in (_SMALL, _LARGE)]
    for n, path in zip((_SMALL, _LARGE), folders, strict=True):
        stored(_CONTRACT, path, n=n)
    seconds = seconds_of(lambda: _measure_and_draw(sample, folders[0]))
    peaks = [peak_memory(_measure, path) for path in folders]
    return [
        figure(
            "evaluate_and_draw", 60 / seconds, "runs/min", reference=f"{_SECONDS} s for 100,000 test examples",
            reference_value=60 / _SECONDS,
        ),
        memory("evaluate_memory", peaks, reference="with 100,000 test examples instead of 10 million"),
    ]  # fmt: skip


def _measure(folder: Path) -> None:
    answers = {scorer: folder / f"{scorer}.arrow" for scorer in (MODEL, BOOSTED_TREES)}
    test = Predictions(_CONTRACT, examples=folder / f"{EXAMPLES}.arrow", answers=answers)
    evaluation, curves = evaluate(
        _CONTRACT, {"train": test, "test": test}, model=answers[MODEL], settings=EvaluationConfig(signal="top")
    )
    evaluation.write(folder / "evaluation.json")
    curves.write(folder / "curves.json")


def _measure_and_draw(sample: Sample, folder: Path) -> None:
    _measure(folder)
    results = {name: folder / f"{name}.json" for name in ("evaluation", "curves")}
    config = sample.config.model_copy(update={"observers": {}})
    for entry in plots(config):
        if set(entry.results) <= set(results):
            paths = [folder / f"{entry.name}.{form}" for form in ("png", "svg", "json")]
            draw(entry.function, {name: results[name] for name in entry.results}, paths)
