"""Card, summary and plots, from real results."""

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib import pyplot as plt

from cyclotrain.config import TrainingConfig
from cyclotrain.contract.results import (
    BOOSTED_TREES,
    MODEL,
    OUTSIDE_NOTE,
    TIMED_BATCHES,
    TORCHSCRIPT,
    ComparedModel,
    Curves,
    Figure,
    SkippedFile,
)
from cyclotrain.contract.run import Run
from cyclotrain.core.files import file_sha256
from cyclotrain.gates.judge import judge
from cyclotrain.report import ending
from cyclotrain.report.card import About, Card, card
from cyclotrain.report.plots.draw import draw
from cyclotrain.report.plots.performance import roc
from cyclotrain.report.plots.style import Label
from cyclotrain.report.summary import spread_table, summary, table_of_figures
from support.trained import Trained

FIGURES = {
    "performance.roc": ("evaluation", "curves"),
    "trust.scores": ("evaluation", "curves"),
    "performance.confusion": ("evaluation",),
    "trust.calibration": ("evaluation",),
    "training.loss": ("history",),
    "timing.latency": ("timing",),
}


@pytest.fixture(scope="module")
def run(trained: Trained) -> Run:
    return trained.run()


@pytest.fixture(scope="module")
def plots(run: Run, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Each figure as PNG and as SVG."""
    folder = tmp_path_factory.mktemp("plots")
    for name, results in FIGURES.items():
        paths = [folder / f"{name.partition('.')[2]}.{form}" for form in ("png", "svg", "json")]
        draw(name, {result: run.files[result] for result in results}, paths)
    return sorted(folder.iterdir())


def words_of(run: Run) -> str:
    return summary(run, card="card.html", bundle="deploy", consumers=["cpp"])


def make(run: Run, plots: list[Path], description: str | None = "Toys.") -> Card:
    return card(run, About(description, "CC0-1.0", {"epochs": 3}), {plot.stem: plot for plot in plots if plot.suffix == ".png"})


def changed(run: Run, **results: Any) -> Run:
    return Run(**{**vars(run), **results})


def test_the_card_tells_data_model_physics_parity_and_speed(trained: Trained, run: Run, plots: list[Path]) -> None:
    page = make(run, plots)
    auc = run.evaluation.performance[MODEL]["background"].auc
    checksums = [file.xxh3 for file in run.dataset.files]
    for text in (
        "Toys.", "CC0-1.0", file_sha256(trained.onnx), f"{auc.value:.4f} ± {auc.uncertainty:.4f}",
        "`delta_phi(pf_phi, jet_phi)`", run.timing.runtimes[0].runtime, *checksums, *trained.config.export.targets,
        *(gate.name for gate in run.gates.gates),
    ):  # fmt: skip
        assert text in page.markdown, text
    sessions = run.verification.sessions(MODEL)
    cases = sum(session.cases for session in sessions)
    assert f"| model | {run.verification.runtimes[0].removeprefix('onnxruntime ')} | {len(sessions)} |" in page.markdown
    assert f"| {cases:,} of {cases:,} |" in page.markdown
    # the page stands alone: each plot is in it, and nothing else is asked for
    assert page.html.count("<img") == len(FIGURES) == page.html.count('src="data:image/png;base64,')
    assert not re.findall(r"src=\"(?!data:)", page.html)
    # every table became one
    assert page.html.count("<table>") == len(re.findall(r"^\|[-|]+\|$", page.markdown, re.MULTILINE))
    assert "<p>|" not in page.html


def test_ranges_are_those_of_real_constituents_in_training(trained: Trained, run: Run, plots: list[Path]) -> None:
    low, high = trained.contract.ranges["pf_pt"] or (0.0, 0.0)
    assert 0.5 <= low < high  # padding is 0, toys are above 0.5
    assert f"| `pf_pt` | `[batch, pf]` | {low:.4g} | {high:.4g} |" in make(run, plots).markdown


def test_a_failed_gate_stands_on_the_first_page_and_in_the_summary(run: Run, plots: list[Path]) -> None:
    gates = judge(run.verification, run.figures(), bounds={"auc.*": [">= 0.9999"]}, rejection_losses={})
    failed = changed(run, gates=gates)
    head, _, _ = make(failed, plots, description=None).markdown.partition("## Use")
    assert "1 of 2 FAILED" in head and "No description was given" in head
    assert "| `auc.background` |" in head and ">= 0.9999 | **FAILED** |" in head
    words = words_of(failed)
    assert f"auc.background = {gates.failed[0].value_in_words}, required >= 0.9999" in words
    assert "Deploy      none: a gate failed" in words
    assert "Deploy      deploy" in words_of(run)


def test_the_times_are_of_every_batch_size_and_grow_with_the_batch(run: Run) -> None:
    (line,) = run.timing.runtimes
    assert tuple(line.examples_per_second) == TIMED_BATCHES
    assert line.examples_per_second[1024] > line.examples_per_second[1]
    latency = line.batch_1_latency_ms
    assert 0 < latency.p50 <= latency.p95 <= latency.p99
    assert line.batch_1_quantiles_ms[50] == pytest.approx(latency.p50)
    assert line.cold_start_ms > latency.p50
    small, large = line.memory_mb[1], line.memory_mb[1024]
    assert small is not None and large is not None and 0 < small <= large


def test_skipped_files_stand_in_the_card_and_in_the_summary(run: Run, plots: list[Path]) -> None:
    file = SkippedFile(path="/d/7.root", sample="signal", reason="/d/7.root: truncated: it has 3 bytes")
    skipped = changed(run, dataset=run.dataset.model_copy(update={"skipped": (file,)}))
    markdown = make(skipped, plots).markdown
    assert "**1 files were skipped**" in markdown
    assert "signal: `/d/7.root: truncated: it has 3 bytes`" in markdown
    words = words_of(skipped)
    assert "SKIPPED     1 of 2 files of signal; the first: /d/7.root: truncated" in words


def test_sessions_on_a_gpu_stand_beside_and_their_rounding_is_not_the_models_parity(run: Run, plots: list[Path]) -> None:
    cpu = [row for row in run.verification.matrix if not row.is_on_gpu]
    gpu = cpu[0].model_copy(update={"provider": "CUDAExecutionProvider", "max_abs": 3e-7})
    tf32 = {"tf32": True, "tolerance": 0.05, "max_abs": 1.4e-3, "max_abs_all_cases": 2.8e-3}
    matrix = (*cpu, gpu, gpu.model_copy(update=tf32))
    both = changed(run, verification=run.verification.model_copy(update={"matrix": matrix}))
    markdown = make(both, plots).markdown
    assert "| model, TF32 |" in markdown and "`use_tf32: 0`" in markdown and "gated at 0.05" in markdown
    words = words_of(both)
    cases = sum(row.cases for row in [*cpu, gpu])
    assert f"{cases:,} of {cases:,} comparisons within 1e-05" in words and f"in {len(cpu)} kinds of session" in words
    assert "on a GPU too: 3.0e-07; rounded to TF32, ONNX Runtime's default there: 1.4e-03" in words


def test_hostile_examples_without_a_defined_answer_and_a_missing_float64_are_told(run: Run, plots: list[Path]) -> None:
    cases = run.verification.cases
    index = next(i for i, case in enumerate(cases) if case.hostile)
    undefined = cases[index].model_copy(update={"undefined": 3})
    update = {
        "cases": (*cases[:index], undefined, *cases[index + 1 :]),
        "max_abs_float64": None,
        "no_float64": "the network answers in float32",
        "matrix": tuple(row.model_copy(update={"max_abs_float64": None}) for row in run.verification.matrix),
    }
    both = changed(run, verification=run.verification.model_copy(update=update))
    words = f"3 of {run.verification.hostile_examples:,} "
    assert f"{words}hostile examples have no defined answer" in words_of(both)
    text = make(both, plots).markdown
    assert words in text and "no answers in float64 to compare with: the network answers in float32" in text
    assert "defined answer" not in make(run, plots).markdown
    for page in (make(both, plots), make(run, plots)):
        assert re.search(r"<table>\s*<thead>\s*<tr>\s*<th>file</th>\s*<th>ONNX Runtime, or as named</th>", page.html)


def test_torchscript_is_told_with_its_libtorch(run: Run, plots: list[Path]) -> None:
    update = {"artefact": TORCHSCRIPT, "runtime": "libtorch 2.13.0", "max_abs": 2e-7, "max_abs_all_cases": 3e-7}
    matrix = (*run.verification.matrix, run.verification.matrix[0].model_copy(update=update))
    both = changed(run, verification=run.verification.model_copy(update={"matrix": matrix}))
    words = words_of(both)
    assert "TorchScript in LibTorch 2.13.0: 2.0e-07 on test examples" in words and "(C++, LibTorch, reference" in words
    assert "LibTorch" not in words_of(run)
    assert "| torchscript | libtorch 2.13.0 | 1 | 2.0e-07 | 3.0e-07 |" in make(both, plots).markdown


def test_every_figure_is_drawn_as_png_and_as_vector_and_the_same_again(run: Run, plots: list[Path], tmp_path: Path) -> None:
    assert len(plots) == 3 * len(FIGURES)
    for plot in plots:
        if plot.suffix == ".png":
            assert plt.imread(plot).std() > 0.05, plot  # it is not a blank page
        elif plot.suffix == ".svg":
            assert ElementTree.parse(plot).getroot().tag.endswith("svg")
    again = [tmp_path / f"roc.{form}" for form in ("png", "svg")]
    list(roc(run.evaluation, Curves.read(run.files["curves"]), again))
    for path in again:
        (first,) = (plot for plot in plots if plot.name == path.name)
        assert path.read_bytes() == first.read_bytes()


def test_a_roc_plot_has_every_model(run: Run, tmp_path: Path) -> None:
    curves = Curves.read(run.files["curves"])
    others = [f"model {i}" for i in range(8)]
    performance = {**run.evaluation.performance, **dict.fromkeys(others, run.evaluation.performance[MODEL])}
    many = curves.model_copy(
        update={"roc": (*curves.roc, *(curves.roc[0].model_copy(update={"scorer": name}) for name in others))}
    )
    path = tmp_path / "roc.svg"
    list(roc(run.evaluation.model_copy(update={"performance": performance}), many, [path]))
    text = path.read_text()
    for name in ("exported model", "boosted trees", *others):
        assert f"<!-- {name}, AUC 0." in text, name
    assert BOOSTED_TREES in run.evaluation.performance


def test_an_area_outside_0_to_1_is_marked_and_explained_wherever_it_stands(run: Run, plots: list[Path], tmp_path: Path) -> None:
    ours = run.evaluation.performance[MODEL]["background"]
    outside = ours.model_copy(update={"auc": Figure(value=1.0213, uncertainty=0.04)})
    performance = {**run.evaluation.performance, MODEL: {"background": outside}}
    evaluation = run.evaluation.model_copy(update={"performance": performance})
    gates = judge(
        run.verification, changed(run, evaluation=evaluation).figures(), bounds={"auc.*": [">= 0.9"]}, rejection_losses={}
    )
    signed = changed(run, evaluation=evaluation, gates=gates)
    assert "1.0213† ± 0.0400" in (words := words_of(signed)) and OUTSIDE_NOTE in words
    assert "1.0213† ± 0.0400" in (page := make(signed, plots).markdown) and OUTSIDE_NOTE in page
    assert "| `auc.background` | 1.021 ± 0.04† | >= 0.9 | passed |" in page
    table = "\n".join(spread_table([run.evaluation, evaluation], "each fold"))
    assert f"{ours.auc.value:.4f}, 1.0213†\n" in table and table.endswith(OUTSIDE_NOTE)
    list(roc(evaluation, Curves.read(run.files["curves"]), [tmp_path / "roc.svg"]))
    assert "AUC 1.0213† ± 0.0400" in (tmp_path / "roc.svg").read_text()
    for text in (words_of(run), make(run, plots).markdown):
        assert "†" not in text


def test_all_figures_have_mean_and_spread_over_trainings_also_where_one_has_none() -> None:
    rates, areas = (3.0, 5.0, None), (0.9, 0.9, 0.9)
    trainings = [
        {"rejection.qcd.at_0.5": Figure(value=rate), "auc.qcd": Figure(value=area)}
        for rate, area in zip(rates, areas, strict=True)
    ]
    table = table_of_figures([*trainings, {}], "each seed")
    assert table[0].endswith("each seed")
    assert re.search(r"rejection.qcd.at_0.5 +4 ± 1.4 +3, 5, -, -$", table[1]) and re.search(r"auc.qcd +0.9 ± 0 +0.9, ", table[2])


def test_the_card_names_the_options_in_use_and_a_split_that_is_given(run: Run, plots: list[Path]) -> None:
    training = TrainingConfig(gradient_clipping=0.5).model_dump()
    samples = {
        **run.contract.samples,
        "more": run.contract.samples["signal"] | {"recipe": run.contract.samples["signal"]["recipe"] | {"split": "test"}},
    }
    of_more = changed(run, contract=replace(run.contract, samples=samples))
    page = card(of_more, About(None, None, training), {}).markdown
    assert "`gradient_clipping: 0.5`" in page and "None" not in page and "`load:" not in page
    assert "That of `more` is given: `test`." in page and page.count("is given") == 1


def test_the_next_commands_name_the_target_before_the_config_file() -> None:
    """After `--configfile`, Snakemake would read the target as one more config file."""
    assert "snakemake --cores all score --configfile my.yaml" in ending.success("r", uri="u", options=" --configfile my.yaml")


def test_a_failed_run_names_its_own_summary_and_not_that_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "summary.txt").write_text("summary")
    written = (tmp_path / "summary.txt").stat().st_mtime
    assert "summary.txt" in ending.failure(tmp_path, since=written - 1)
    assert "summary.txt" not in ending.failure(tmp_path, since=written + 1)


def test_a_summary_of_an_older_model_is_not_shown_as_that_of_this_run(tmp_path: Path) -> None:
    (tmp_path / "summary.txt").write_text("AUC 0.98")
    assert "AUC 0.98" in ending.success(tmp_path, uri="u", options="")
    (tmp_path / "train").mkdir()
    (tmp_path / "train/weights.pt").write_text("new")
    later = (tmp_path / "summary.txt").stat().st_mtime + 10
    os.utime(tmp_path / "train/weights.pt", (later, later))
    assert "AUC 0.98" not in ending.success(tmp_path, uri="u", options="")


@pytest.mark.parametrize("experiment", ["CMS", "Belle II"])
def test_the_label_of_the_experiment_is_above_a_figure(run: Run, tmp_path: Path, experiment: str) -> None:
    label = Label(experiment, "Preliminary", 138, 13.6)
    results = {name: run.files[name] for name in ("evaluation", "curves")}
    draw("performance.roc", results, [tmp_path / "roc.svg"], label=label)
    text = (tmp_path / "roc.svg").read_text()
    assert f"<!-- {experiment} -->" in text and "<!-- Simulation Preliminary -->" in text and "13.6 TeV" in text
    draw("performance.roc", results, [tmp_path / "plain.svg"])
    assert "Preliminary" not in (tmp_path / "plain.svg").read_text()


def test_a_curve_ends_where_it_is_not_measured_but_not_at_full_efficiency(run: Run, tmp_path: Path) -> None:
    """Of a few signal examples with low scores, the cut at full efficiency is uncertain; the rest of the curve is not."""
    curves = Curves.read(run.files["curves"])
    (curve,) = (one for one in curves.roc if one.scorer == MODEL)
    uncertain = tuple(2.0 if at > 0.95 or at < 0.3 else 1e-3 for at in curve.signal_efficiency)
    changed = curve.model_copy(update={"background_efficiency": (0.1,) * len(uncertain), "uncertainty": uncertain})
    with pytest.MonkeyPatch.context() as patch:
        lines: list[Any] = []
        drawn = plt.Axes.plot
        patch.setattr(plt.Axes, "plot", lambda self, x, *rest, **style: (lines.append(x), drawn(self, x, *rest, **style))[1])
        list(roc(run.evaluation, curves.model_copy(update={"roc": (changed,)}), [tmp_path / "roc.png"]))
    assert min(lines[0]) == pytest.approx(0.3, abs=0.01) and max(lines[0]) == 1


def test_earlier_models_and_missing_classes_stand_in_card_and_summary(run: Run, plots: list[Path]) -> None:
    """An earlier model has its column; a class without weight in the test split is told of."""
    evaluation = run.evaluation
    assert evaluation.confusion
    old = ComparedModel(name="old", where="models:/tagger@champion", run="before", model_sha256="abc", note="too good")
    fraction = ((None, None), evaluation.confusion.fraction[1])
    without = evaluation.model_copy(
        update={
            "performance": {**evaluation.performance, "old": evaluation.performance[MODEL]},
            "accuracy": {**evaluation.accuracy, "old": evaluation.accuracy[MODEL]},
            "compared": (old,),
            "confusion": evaluation.confusion.model_copy(update={"fraction": fraction}),
        }
    )
    other = changed(run, evaluation=without)
    markdown, words = make(other, plots).markdown, words_of(other)
    assert "exported model | boosted trees | old |" in markdown
    assert (
        "old is the model of run `before`, from `models:/tagger@champion`, SHA-256 `abc`" in markdown
        and "**too good**" in markdown
    )
    for text in (markdown, words):
        assert "not measured: background, without a positive sum of weights in the test split" in text
    assert "old: too good" in words and words.splitlines()[2].split()[-1] == "old"
