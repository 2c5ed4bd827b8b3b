"""What a run made, in a few lines for a terminal."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclotrain.core.files import read_json


def summary(run: str, files: Mapping[str, str]) -> str:
    """The figures of a run and where its files lie."""
    verification, evaluation, benchmark, dataset = (
        read_json(files[name]) for name in ("verification", "evaluation", "benchmark", "dataset")
    )
    events = ", ".join(
        f"{n:,} {name}" for name, n in ((c, sum(s["events"] for s in of.values())) for c, of in dataset["by_class"].items())
    )
    lines = [f"Run '{run}': {events}; {evaluation['test_examples']:,} in the test split", ""]
    for name in dict.fromkeys(file["sample"] for file in dataset["skipped"]):
        skipped = [file for file in dataset["skipped"] if file["sample"] == name]
        total = len(skipped) + sum(file["sample"] == name for file in dataset["files"])
        lines.append(f"SKIPPED     {len(skipped)} of {total} files of {name}; the first: {skipped[0]['reason']}")
    lines += [""] * bool(dataset["skipped"])
    lines += [f"{'':32}{'exported model':>20}{'boosted trees':>20}"]
    for background, of in evaluation["backgrounds"].items():
        models = [of.get("model"), of.get("boosted_trees")]
        lines.append(_row(f"AUC, {evaluation['signal']} vs {background}", [m and m["auc"] for m in models], ".4f"))
        for i, point in enumerate(models[0]["rejection"]):
            name = f"  1/ε({background}) at ε({evaluation['signal']}) = {point['signal_efficiency']:.0%}"
            lines.append(_row(name, [m and m["rejection"][i] for m in models], ".0f"))
    tolerance = verification["tolerance"]
    runtimes = ", ".join(runtime.removeprefix("onnxruntime ") for runtime in verification["runtimes"])
    model = verification["matrix"][0]["artefact"]
    of_model = [line for line in verification["matrix"] if line["artefact"] == model and not line["tf32"]]
    cases = sum(line["cases"] for line in of_model)
    passed = cases - sum(line["cases_failed"] for line in of_model)
    kinds = {(line["optimisation"], line["threads"]) for line in of_model}
    others = dict.fromkeys(line["artefact"] for line in verification["matrix"] if line["artefact"] != model)
    here = benchmark["runtimes"][0]
    latency = here["batch_1_latency_ms"]
    lines += [
        "",
        f"Parity      {verification['max_abs']:.1e} at most, over {verification['test_examples']:,} test examples",
        f"            {passed:,} of {cases:,} comparisons within {tolerance:g} (lengths, empty sets, NaN, ±inf, ...)",
        f"            in ONNX Runtime {runtimes}, each in {len(kinds)} kinds of session",
        *_on_gpu([line for line in verification["matrix"] if line["artefact"] == model and "CUDA" in line["provider"]]),
        *(_other(name, verification["matrix"], evaluation, benchmark) for name in others),
        *(f"            {line['runtime']} was NOT run: {line['reason']}" for line in verification["not_run"]),
        f"Latency     {latency['p50']:.2f} ms for one example on one thread (99 %: {latency['p99']:.2f} ms); "
        f"{here['examples_per_second']['1024']:,.0f} examples/s in batches of 1024",
        "",
        f"Model       {files['model']}   (raw branches in, probabilities out)",
        f"Contract    {files['contract']}",
        f"Physics     {files['evaluation']}, plots in {Path(files['evaluation']).parent / 'plots'}",
        f"Parity      {files['verification']}",
        f"Model card  {Path(files['bundle']) / 'model_card.html'}",
        f"Deploy      {files['bundle']}   (C++, CMSSW, Triton, RDataFrame, reference vectors)",
    ]
    return "\n".join(lines) + "\n"


def summary_of_folds(run: str, evaluations: Sequence[Mapping[str, Any]], verifications: Sequence[Mapping[str, Any]]) -> str:
    """The figures of a cross-training: each fold's, and their mean and standard deviation."""
    signal = evaluations[0]["signal"]
    events = sum(of["test_examples"] for of in evaluations)
    lines = [f"Run '{run}': {len(evaluations)} folds, {events:,} examples, each tested once", ""]
    lines += [f"{'':32}{'mean ± spread':>20}   each fold"]
    for background in evaluations[0]["backgrounds"]:
        models = [of["backgrounds"][background]["model"] for of in evaluations]
        lines.append(_spread(f"AUC, {signal} vs {background}", [model["auc"]["value"] for model in models], ".4f"))
        for i, point in enumerate(models[0]["rejection"]):
            name = f"  1/ε({background}) at ε({signal}) = {point['signal_efficiency']:.0%}"
            lines.append(_spread(name, [model["rejection"][i]["value"] for model in models], ".0f"))
    worst, gates = max(of["max_abs"] for of in verifications), sum(of["passed"] for of in (*verifications, *evaluations))
    lines += ["", f"Parity      {worst:.1e} at most; {gates} of {2 * len(evaluations)} gates passed"]
    lines += [f"Folds       results/{run}/fold-*   (each with its model, card, plots and bundle)"]
    lines += [f"Friends     make score: results/{run}/friends, each event by the model that has not seen it"]
    return "\n".join(lines) + "\n"


def _spread(name: str, values: Sequence[float | None], form: str) -> str:
    """`None` where a fold has no background left."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return f"{name:32}{'no background left':>20}"
    cell = f"{statistics.mean(known):{form}} ± {statistics.stdev(known):{form}}"
    return f"{name:32}{cell:>20}   " + ", ".join("-" if value is None else f"{value:{form}}" for value in values)


def _other(name: str, matrix: list[Mapping[str, Any]], evaluation: Mapping[str, Any], benchmark: Mapping[str, Any]) -> str:
    """A variant, or the network alone."""
    lines = [line for line in matrix if line["artefact"] == name]
    said = f"            {name}: {max(line['max_abs'] for line in lines):.1e} on test examples"
    if name in benchmark["variants"]:
        gain, loss = benchmark["variants"][name]["gain"], evaluation["variants"][name]["rejection_loss"]
        said += f", loses {loss:.1%} of the rejection; latency ÷ {gain['batch_1_latency']:.2f}, file ÷ {gain['size']:.2f}"
    return said


def _on_gpu(lines: list[Mapping[str, Any]]) -> list[str]:
    """The model's sessions on a GPU, if there was one."""
    if not lines:
        return []
    worst = {tf32: max(line["max_abs"] for line in lines if line["tf32"] == tf32) for tf32 in (False, True)}
    return [f"            on a GPU too: {worst[False]:.1e}; rounded to TF32, ONNX Runtime's default there: {worst[True]:.1e}"]


def _row(name: str, figures: list[Mapping[str, Any] | None], form: str) -> str:
    cells = []
    for figure in figures:
        if not figure or figure["value"] is None:
            cells.append("-" if not figure else "no background left")
        else:
            cells.append(f"{figure['value']:{form}} ± {figure['uncertainty']:{form}}")
    return f"{name:32}" + "".join(f"{cell:>20}" for cell in cells)
