"""The model card, from real results."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import Trained
from cyclotrain.core.files import file_sha256
from cyclotrain.evaluation.timing import BATCH_SIZES
from cyclotrain.report.card import card
from cyclotrain.report.summary import summary

Results = tuple[dict[str, str], list[Path]]


@pytest.fixture(scope="module")
def results(trained: Trained) -> Results:
    return trained.results()


def make(trained: Trained, results: Results, folder: Path, **changes: Any) -> tuple[str, str]:
    files, plots = results
    arguments = {"description": "Toys.", "licence": "CC0-1.0", "files": files, **changes}
    training = trained.config.training.model_dump()
    card(training=training, plots=plots, path_markdown=folder / "card.md", path_html=folder / "card.html", **arguments)
    return (folder / "card.md").read_text(), (folder / "card.html").read_text()


def test_it_tells_data_model_physics_parity_and_speed(trained: Trained, results: Results, tmp_path: Path) -> None:
    markdown, html = make(trained, results, tmp_path)
    files, plots = results
    evaluation, verification, dataset, times = (
        json.loads(Path(files[name]).read_text()) for name in ("evaluation", "verification", "dataset", "benchmark")
    )
    auc = evaluation["backgrounds"]["background"]["model"]["auc"]
    checksums = [file["xxh3"] for file in dataset["files"]]
    for text in (
        "Toys.", "CC0-1.0", file_sha256(trained.onnx), f"{auc['value']:.4f} ± {auc['uncertainty']:.4f}",
        "`delta_phi(pf_phi, jet_phi)`", times["runtimes"][0]["runtime"], *checksums, *trained.config.export.targets,
    ):  # fmt: skip
        assert text in markdown, text
    assert markdown.count(verification["runtimes"][0]) >= len(verification["matrix"])
    # the page stands alone: each plot is in it, and nothing else is asked for
    assert html.count("<img") == len(plots) == html.count('src="data:image/png;base64,')
    assert not re.findall(r"src=\"(?!data:)", html)
    # every table became one
    assert html.count("<table>") == len(re.findall(r"^\|[-|]+\|$", markdown, re.MULTILINE))
    assert "<p>|" not in html


def test_ranges_are_those_of_real_constituents_in_training(trained: Trained, results: Results, tmp_path: Path) -> None:
    markdown, _ = make(trained, results, tmp_path)
    low, high = trained.contract.ranges["pf_pt"] or (0.0, 0.0)
    assert 0.5 <= low < high  # padding is 0, toys are above 0.5
    assert f"| `pf_pt` | `[batch, pf]` | {low:.4g} | {high:.4g} |" in markdown


def test_a_failed_gate_stands_on_the_first_page(trained: Trained, results: Results, tmp_path: Path) -> None:
    files, _ = results
    verification = json.loads(Path(files["verification"]).read_text())
    failed = tmp_path / "verification.json"
    failed.write_text(json.dumps({**verification, "passed": False, "failed": ["nan in pf_pt: differs by 1"]}))
    markdown, _ = make(trained, results, tmp_path, files={**files, "verification": str(failed)}, description=None)
    head, _, rest = markdown.partition("## Use")
    assert "**FAILED**" in head and "No description was given" in head
    assert "**Failed**: nan in pf_pt: differs by 1" in rest


def test_the_times_are_of_every_batch_size_and_grow_with_the_batch(trained: Trained, results: Results) -> None:
    times = json.loads(Path(results[0]["benchmark"]).read_text())
    (line,) = times["runtimes"]
    rates = {int(n): rate for n, rate in line["examples_per_second"].items()}
    assert tuple(rates) == BATCH_SIZES
    assert rates[1024] > rates[1]
    latency = line["batch_1_latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
    assert line["cold_start_ms"] > latency["p50"]
    assert 0 < line["memory_mb"]["1"] <= line["memory_mb"]["1024"]


def test_what_was_skipped_stands_in_the_card_and_in_the_summary(trained: Trained, results: Results, tmp_path: Path) -> None:
    files, _ = results
    dataset = json.loads(Path(files["dataset"]).read_text())
    dataset["skipped"] = [{"path": "/d/7.root", "sample": "signal", "reason": "/d/7.root: truncated: it has 3 bytes"}]
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    changed = {**files, "dataset": str(tmp_path / "dataset.json")}
    markdown, _ = make(trained, results, tmp_path, files=changed)
    assert "**1 files were skipped**" in markdown
    assert "signal: `/d/7.root: truncated: it has 3 bytes`" in markdown
    assert "SKIPPED     1 of 2 files of signal; the first: /d/7.root: truncated" in summary(
        "toys", {**changed, "bundle": "deploy"}
    )


def test_what_a_gpu_gives_stands_beside_and_its_rounding_is_not_the_models_parity(
    trained: Trained, results: Results, tmp_path: Path
) -> None:
    files, _ = results
    verification = json.loads(Path(files["verification"]).read_text())
    of_cpu = [line for line in verification["matrix"] if line["provider"] == "CPUExecutionProvider"]
    on_gpu = {**of_cpu[0], "provider": "CUDAExecutionProvider", "max_abs": 3e-7}
    rounded = {**on_gpu, "tf32": True, "tolerance": 0.05, "max_abs": 1.4e-3, "max_abs_all_cases": 2.8e-3}
    (tmp_path / "verification.json").write_text(json.dumps({**verification, "matrix": [*of_cpu, on_gpu, rounded]}))
    changed = {**files, "verification": str(tmp_path / "verification.json")}
    markdown, _ = make(trained, results, tmp_path, files=changed)
    assert f"| {of_cpu[0]['runtime']}, CUDA, TF32 |" in markdown and "`use_tf32: 0`" in markdown and "gated at 0.05" in markdown
    text = summary("toys", {**changed, "bundle": "deploy"})
    cases = sum(line["cases"] for line in [*of_cpu, on_gpu])
    assert f"{cases:,} of {cases:,} comparisons within 1e-05" in text and f"each in {len(of_cpu)} kinds of session" in text
    assert "on a GPU too: 3.0e-07; rounded to TF32, ONNX Runtime's default there: 1.4e-03" in text
