"""The summary of a run: its figures and where its files lie, in a few lines for a terminal."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from cyclotrain.config.export import ConsumerName
from cyclotrain.contract.results import (
    AOT_INDUCTOR,
    BOOSTED_TREES,
    FCCANALYSES,
    MODEL,
    NETWORK,
    TORCHSCRIPT,
    Dataset,
    Evaluation,
    Figure,
    SessionParity,
)
from cyclotrain.contract.run import Run
from cyclotrain.deploy.consumers import CONSUMERS
from cyclotrain.report.forms import advice
from cyclotrain.runtimes.instruction_sets import level_of

_COLUMNS = {"exported model": MODEL, "boosted trees": BOOSTED_TREES}


def summary(run: Run, *, card: str | Path, bundle: str | Path, consumers: Sequence[ConsumerName]) -> str:
    """The figures of a run, its verdicts, and where its files lie; `bundle`: where it is made if all gates passed."""
    dataset, evaluation = run.dataset, run.evaluation
    events = ", ".join(
        f"{sum(totals.events for totals in by_split.values()):,} {name if run.contract.classes else 'examples'}"
        for name, by_split in dataset.by_class.items()
    )
    has_torch = not {TORCHSCRIPT, *AOT_INDUCTOR}.isdisjoint(run.verification.artefacts)
    takers = [*(CONSUMERS[name].title for name in consumers), *["LibTorch"] * has_torch]
    lines = [f"Run '{run.contract.run}': {events}; {evaluation.test_examples:,} in the test split", ""]
    lines += _skipped(dataset)
    lines += [*_performance(evaluation), ""] if run.contract.classes else []
    lines += [*_regression(evaluation), ""] if run.contract.regression else []
    lines += [*_parity(run), *_latency(run), "", *_gates(run), ""]
    lines += [
        f"Model       {run.files['model']}   (raw branches in, {_outputs(run)} out)",
        f"Contract    {run.files['contract']}",
        f"Physics     {run.files['evaluation']}, plots in {run.files['evaluation'].parent / 'plots'}",
        *(
            [f"Thresholds  {run.files['evaluation'].parent / 'working_points'}   (JSON, correctionlib)"]
            * bool(run.contract.classes)
        ),
        f"Parity      {run.files['verification']}",
        f"Model card  {card}",
        f"Deploy      {bundle}   ({', '.join([*takers, 'reference vectors'])})"
        if run.gates.passed
        else "Deploy      none: a gate failed" + f"; {bundle} is of an earlier run" * Path(bundle).exists(),
    ]
    return "\n".join(lines) + "\n"


def summary_of_folds(name: str, folds: Sequence[Run]) -> str:
    """The figures of a cross-training: each fold's, and their mean and standard deviation."""
    evaluations = [fold.evaluation for fold in folds]
    events = sum(evaluation.test_examples for evaluation in evaluations)
    lines = [f"Run '{name}': {len(folds)} folds, {events:,} examples, each tested once", ""]
    lines += [*spread_table(evaluations, "each fold"), ""]
    worst = max(fold.verification.max_abs for fold in folds)
    gates = [gate for fold in folds for gate in fold.gates.gates]
    lines += [f"Parity      {worst:.1e} at most, over the test splits of all folds"]
    lines += [f"Gates       {sum(gate.passed for gate in gates)} of {len(gates)} passed"]
    for index, fold in enumerate(folds):
        lines += [f"            fold {index}: {gate}" for gate in fold.gates.failed]
    lines += [f"Folds       results/{name}/fold-*   (each with its model, card and plots, and its bundle if all gates passed)"]
    lines += [f"Friends     results/{name}/friends, on demand: each event by the model that has not seen it"]
    return "\n".join(lines) + "\n"


def spread_table(evaluations: Sequence[Evaluation], heading: str, *, scorer: str = MODEL) -> list[str]:
    """Mean and standard deviation of each figure of the model, or of `scorer`, over several trainings, and each value."""
    title = next(name for name, shown in _COLUMNS.items() if shown == scorer)
    lines = [f"{title:32}{'mean ± spread':>20}   {heading}"]
    signal = evaluations[0].signal
    for name, quantity in evaluations[0].regression.get(scorer, {}).items():
        for figure in ("bias", "resolution") if quantity.bias else ():
            measured = [getattr(evaluation.regression[scorer][name], figure).value for evaluation in evaluations]
            lines.append(_spread(f"{figure} of {name}", measured, ".4g"))
    for background in evaluations[0].backgrounds:
        performances = [evaluation.performance[scorer][background] for evaluation in evaluations]
        marks = [performance.auc_mark for performance in performances]
        lines.append(_spread(f"AUC, {signal} vs {background}", [p.auc.value for p in performances], ".4f", marks))
        for i, point in enumerate(performances[0].rejection):
            values = [performance.rejection[i].rejection.value for performance in performances]
            lines.append(_spread(_rejection_name(background, signal, point.signal_efficiency), values, ".0f"))
    notes = dict.fromkeys(evaluation.note for evaluation in evaluations if evaluation.note)
    return [*lines, *notes]


def table_of_figures(figures: Sequence[Mapping[str, Figure]], heading: str) -> list[str]:
    """The same for all figures of several trainings, by name."""
    names = dict.fromkeys(name for of_training in figures for name in of_training)
    width = max(map(len, names), default=0) + 2
    lines = [f"{'':{width}}{'mean ± spread':>24}   {heading}"]
    for name in names:
        values = [of_training.get(name, Figure(value=None)).value for of_training in figures]
        known = [value for value in values if value is not None]
        cell = "no value" if not known else f"{statistics.mean(known):.4g}"
        cell += f" ± {statistics.stdev(known):.2g}" if len(known) > 1 else ""
        lines.append(f"{name:{width}}{cell:>24}   " + ", ".join("-" if value is None else f"{value:.4g}" for value in values))
    return lines


def gain_table(evaluations: Sequence[Evaluation]) -> list[str]:
    """How many times the rejection of the boosted trees that of the model is, over the means of several trainings."""
    signal, lines = evaluations[0].signal, []
    for background in evaluations[0].backgrounds:
        for i, point in enumerate(evaluations[0].performance[MODEL][background].rejection):
            gain = mean_gain(evaluations, background, i)
            cell = "no background left" if gain is None else f"{gain:.1f}"
            lines.append(f"{_rejection_name(background, signal, point.signal_efficiency):32}{cell:>20}")
    return [f"{'':32}{'model / trees':>20}", *lines]


def mean_gain(evaluations: Sequence[Evaluation], background: str, index: int) -> float | None:
    """The mean rejection of the model over that of the boosted trees; None where one has no background left."""
    means = []
    for scorer in (MODEL, BOOSTED_TREES):
        points = [evaluation.performance[scorer][background].rejection[index] for evaluation in evaluations]
        values = [point.rejection.value for point in points]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        means.append(statistics.mean(known))
    return means[0] / means[1]


def _rejection_name(background: str, signal: str | None, efficiency: float) -> str:
    return f"  1/ε({background}) at ε({signal}) = {efficiency:.0%}"


def _spread(name: str, values: Sequence[float | None], form: str, marks: Sequence[str] | None = None) -> str:
    """`None` where a training has no background left; `marks`: what follows each value."""
    known = [value for value in values if value is not None]
    if not known:
        return f"{name:32}{'no background left':>20}"
    cell = f"{statistics.mean(known):{form}}"
    if len(known) > 1:
        cell += f" ± {statistics.stdev(known):{form}}"
    marked = zip(values, marks or [""] * len(values), strict=True)
    return f"{name:32}{cell:>20}   " + ", ".join("-" if value is None else f"{value:{form}}{mark}" for value, mark in marked)


def _skipped(dataset: Dataset) -> list[str]:
    lines = []
    for name in dict.fromkeys(file.sample for file in dataset.skipped):
        skipped = [file for file in dataset.skipped if file.sample == name]
        total = len(skipped) + sum(file.sample == name for file in dataset.files)
        lines.append(f"SKIPPED     {len(skipped)} of {total} files of {name}; the first: {skipped[0].reason}")
    return [*lines, ""] if lines else []


def _performance(evaluation: Evaluation) -> list[str]:
    """The exported model beside the boosted trees and earlier models."""
    columns_of = {**_COLUMNS, **{one.name: one.name for one in evaluation.compared}}
    shown = {name: scorer for name, scorer in columns_of.items() if scorer in evaluation.performance}
    lines = [f"{'':32}" + "".join(f"{name:>20}" for name in shown)]
    for background in evaluation.backgrounds:
        columns = [evaluation.performance[scorer][background] for scorer in shown.values()]
        marks = [column.auc_mark for column in columns]
        lines.append(_row(f"AUC, {evaluation.signal} vs {background}", [column.auc for column in columns], ".4f", marks))
        for i, point in enumerate(columns[0].rejection):
            name = _rejection_name(background, evaluation.signal, point.signal_efficiency)
            lines.append(_row(name, [column.rejection[i].rejection for column in columns], ".0f"))
    notes = [evaluation.note, *(f"{one.name}: {one.note}" for one in evaluation.compared if one.note)]
    return [*lines, *(note for note in notes if note)]


def _outputs(run: Run) -> str:
    """What the model gives, in a few words."""
    return " and ".join(["probabilities"] * bool(run.contract.classes) + ["regressed quantities"] * bool(run.contract.regression))


def _regression(evaluation: Evaluation) -> list[str]:
    """Bias and resolution of each quantity, or the coverage of its quantiles."""
    lines = [f"{'':32}{'bias':>24}{'resolution':>24}"]
    for name, quantity in evaluation.regression[MODEL].items():
        label = f"{name} ({quantity.response})"
        if quantity.bias and quantity.resolution:
            lines.append(f"{label:32}{_figure(quantity.bias):>24}{_figure(quantity.resolution):>24}")
        if quantity.coverage:
            shares = ", ".join(f"{c.quantile:g}: {_figure(c.share)}" for c in quantity.coverage)
            lines.append(f"  {name}, share of targets below the quantile {shares}")
    return lines


def _figure(figure: Figure) -> str:
    return "none" if figure.value is None else f"{figure.value:.4g} ± {figure.uncertainty:.2g}"


def _row(name: str, figures: Sequence[Figure], form: str, marks: Sequence[str] | None = None) -> str:
    cells = [
        "no background left" if figure.value is None else f"{figure.value:{form}}{mark} ± {figure.uncertainty:{form}}"
        for figure, mark in zip(figures, marks or [""] * len(figures), strict=True)
    ]
    return f"{name:32}" + "".join(f"{cell:>20}" for cell in cells)


def _parity(run: Run) -> list[str]:
    verification = run.verification
    sessions = verification.sessions(MODEL)
    comparisons = sum(session.cases for session in sessions)
    passed = comparisons - sum(session.cases_failed for session in sessions)
    kinds = {(session.optimisation, session.threads) for session in sessions}
    runtimes = ", ".join(runtime.removeprefix("onnxruntime ") for runtime in verification.runtimes)
    gpu = [row for row in verification.matrix if row.artefact == MODEL and row.is_on_gpu]
    undefined = (
        f"            {verification.undefined:,} of {verification.hostile_examples:,} hostile examples have no defined answer: "
        "PyTorch's own depends on rounding"
    )
    return [
        f"Parity      {verification.max_abs:.1e} at most over {verification.test_examples:,} test examples, "
        f"{verification.max_abs_all_cases:.1e} over all inputs",
        f"            {passed:,} of {comparisons:,} comparisons within {verification.tolerance:g} "
        "(lengths, empty sets, NaN, ±inf, ...)",
        f"            in ONNX Runtime {runtimes}; parts of the test split in {len(kinds)} kinds of session",
        *([undefined] if verification.undefined else []),
        *_on_gpu(gpu),
        *(_other_file(run, artefact) for artefact in verification.artefacts if artefact != MODEL),
        *(f"            {line.runtime} was NOT run: {line.reason}" for line in verification.not_run),
    ]


def _other_file(run: Run, artefact: str) -> str:
    """A variant, or the network alone."""
    sessions = run.verification.sessions(artefact)
    versions = ", ".join(dict.fromkeys(session.runtime.removeprefix("libtorch ") for session in sessions))
    names = {NETWORK: "network with preprocess.json", FCCANALYSES: "network with the JSON of FCCAnalyses"}
    names |= {TORCHSCRIPT: f"TorchScript in LibTorch {versions}"}
    names |= {name: f"compiled for {level_of(name)} in LibTorch {versions}" for name in AOT_INDUCTOR}
    name = names.get(artefact, artefact)
    line = f"            {name}: {max(session.max_abs for session in sessions):.1e} on test examples"
    if artefact in run.timing.variants:
        gain = run.timing.variants[artefact].gain
        if (loss := run.evaluation.rejection_loss.get(artefact)) is not None:
            line += f", loses {loss:.1%} of the rejection"
        line += f"; latency ÷ {gain.batch_1_latency:.2f}, file ÷ {gain.size:.2f}"
    return line


def _on_gpu(sessions: Sequence[SessionParity]) -> list[str]:
    """The model's sessions on a GPU, if there was one."""
    if not sessions:
        return []
    worst: Mapping[bool, float] = {
        tf32: max(session.max_abs for session in sessions if session.tf32 == tf32) for tf32 in (False, True)
    }
    return [f"            on a GPU too: {worst[False]:.1e}; rounded to TF32, ONNX Runtime's default there: {worst[True]:.1e}"]


def _latency(run: Run) -> list[str]:
    here = run.timing.runtimes[0]
    latency = here.batch_1_latency_ms
    lines = [
        f"Latency     {latency.p50:.2f} ms for one example on one thread (99 %: {latency.p99:.2f} ms); "
        f"{here.examples_per_second[1024]:,.0f} examples/s in batches of 1024"
    ]
    words = (advice(run.timing) or "").replace("`", "")
    return [*lines, *textwrap.wrap(words, 110, initial_indent=" " * 12, subsequent_indent=" " * 12)]


def _gates(run: Run) -> list[str]:
    gates = run.gates
    if gates.passed:
        return [f"Gates       all {len(gates.gates)} passed: " + ", ".join(gate.name for gate in gates.gates)]
    lines = [f"Gates       {len(gates.failed)} of {len(gates.gates)} FAILED"]
    return lines + [f"            {gate}".replace("\n", "\n            ") for gate in gates.failed]
