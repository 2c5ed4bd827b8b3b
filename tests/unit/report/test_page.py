"""The report of a run: one page, opened in a real browser."""

import base64
import csv
import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hepdata_validator.full_submission_validator import FullSubmissionValidator

from cyclotrain.contract.results import MODEL
from cyclotrain.contract.run import Run
from cyclotrain.gates.judge import judge
from cyclotrain.report.catalogue import plots
from cyclotrain.report.facts import About
from cyclotrain.report.page import write_page, write_page_of_folds
from cyclotrain.report.plots.draw import draw
from cyclotrain.report.svg import compact
from support.browser import browser_page
from support.trained import Trained

PHONE = {"viewport": {"width": 390, "height": 844}}


def make(run: Run, trained: Trained, path: Path) -> Path:
    entries = plots(trained.config)
    for entry in entries:
        paths = [run.files["evaluation"].parent / f"plots/{entry.name}.{form}" for form in ("svg", "json")]
        if not paths[0].exists():
            draw(entry.function, {name: run.files[name] for name in entry.results}, paths, **entry.options)
    config = {"run": "toys", "note": "<script>fault()</script>"}
    about = About("Toys & <b>more</b>.", "CC0-1.0", {"epochs": 3})
    write_page(run, about, plots=entries, config=config, bundle="results/toys/deploy", path=path)
    return path


@pytest.fixture(scope="module")
def page(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(trained.run(), trained, tmp_path_factory.mktemp("page") / "report.html")


@pytest.mark.parametrize("context", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_a_browser_shows_every_figure_without_an_error_and_without_the_network(
    page: Path, trained: Trained, context: dict[str, Any]
) -> None:
    with browser_page(**context) as (tab, faults):
        tab.goto(page.as_uri())
        assert tab.title() == f"{trained.contract.run}: report"
        images = tab.evaluate("[...document.images].map((image) => [image.alt, image.complete && image.naturalWidth > 0])")
        assert images == [[entry.title, True] for entry in plots(trained.config)]
        dead = "[...document.querySelectorAll('a')].map((a) => a.hash).filter((hash) => !document.querySelector(hash))"
        assert tab.evaluate(dead) == []
        # nothing is wider than the screen
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert faults == []


def test_the_first_screen_answers_what_it_is_whether_it_is_good_and_where(page: Path, trained: Trained) -> None:
    run = trained.run()
    auc = run.evaluation.performance[MODEL]["background"].auc
    with browser_page(viewport={"width": 1280, "height": 860}) as (tab, _):
        tab.goto(page.as_uri())
        for question, answer in {
            "What is it?": "signal against background",
            "Is it good?": f"AUC {auc.value:.4f} ± {auc.uncertainty:.4f}",
            "Can I deploy it?": f"Yes: all {len(run.gates.gates)} gates passed",
            "Where is it?": str(run.files["model"]),
        }.items():
            part = tab.locator(".answer", has_text=question)
            assert answer in part.inner_text()
            box = part.bounding_box()
            assert box and box["y"] + box["height"] < 860


def test_a_failed_gate_is_on_the_first_screen(trained: Trained, tmp_path: Path) -> None:
    run = trained.run()
    gates = judge(run.verification, run.figures(), bounds={"auc.*": [">= 0.9999"]}, rejection_losses={})
    text = make(Run(**{**vars(run), "gates": gates}), trained, tmp_path / "failed.html").read_text()
    head = text[text.index("Can I deploy it?") : text.index("Where is it?")]
    assert "No: 1 of 2 gates failed" in head and f"auc.background = {gates.failed[0].value_in_words}" in head
    assert "none, as a gate failed" in text and "results/toys/deploy" not in text


def test_words_of_the_config_are_shown_as_they_are(page: Path) -> None:
    text = page.read_text()
    assert "Toys &amp; &lt;b&gt;more&lt;/b&gt;." in text and "&lt;script&gt;fault()" in text


def test_the_numbers_of_a_figure_can_be_saved(page: Path) -> None:
    with browser_page() as (tab, faults):
        tab.goto(page.as_uri())
        saved = {}
        for name in ("confusion.csv", "roc.json", "roc.svg", "numbers.zip"):
            with tab.expect_download() as download:
                tab.evaluate("(name) => document.querySelector(`button[data-file='${name}']`).click()", name)
            assert download.value.suggested_filename == name
            saved[name] = Path(download.value.path()).read_bytes()
        assert faults == []
    names, *rows = csv.reader(io.StringIO(saved["confusion.csv"].decode()))
    assert names[0] == "true class" and [row[0] for row in rows] == ["background", "signal"]
    assert json.loads(saved["roc.json"])["tables"][0]["name"] == "ROC, exported model, signal against background"
    assert saved["roc.svg"].startswith(b"<svg")
    folders = {name.partition("/")[0] for name in zipfile.ZipFile(io.BytesIO(saved["numbers.zip"])).namelist()}
    assert folders == {"csv", "json", "hepdata"}


def test_the_archive_is_a_valid_submission_to_hepdata(page: Path, tmp_path: Path) -> None:
    (packed,) = re.findall(r'data-file="numbers.zip" data-gzip="([^"]+)"', page.read_text())
    zipfile.ZipFile(io.BytesIO(gzip.decompress(base64.b64decode(packed)))).extractall(tmp_path)
    validator = FullSubmissionValidator()
    assert validator.validate(directory=str(tmp_path / "hepdata")), validator.get_messages()


def test_the_page_is_small_and_the_same_again(page: Path, trained: Trained, tmp_path: Path) -> None:
    assert page.stat().st_size < 5_000_000
    assert make(trained.run(), trained, tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_a_cross_training_links_to_the_page_of_each_fold(tmp_path: Path) -> None:
    texts = {"summary": tmp_path / "summary.txt", "figures": tmp_path / "figures.txt"}
    texts["summary"].write_text("AUC 0.9 < 1")
    texts["figures"].write_text("sculpting.mass.qcd.at_0.5  0.01 ± 0.002")
    pages = [tmp_path / f"fold-{fold}/report.html" for fold in (0, 1)]
    for path in pages:
        path.parent.mkdir()
        path.write_text("a fold")
    write_page_of_folds("toys", description=None, texts=texts, pages=pages, path=tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "AUC 0.9 &lt; 1" in text and "0.01 ± 0.002" in text
    assert (
        all((tmp_path / link).exists() for link in re.findall(r'href="(fold[^"]+)"', text))
        and text.count("fold-1/report.html") == 2
    )


def test_a_compact_image_has_the_same_shapes_and_styles_in_fewer_bytes(page: Path, trained: Trained) -> None:
    svg = (trained.folder / "plots/roc.svg").read_text()
    small = compact(svg)
    assert len(small) < 0.65 * len(svg)
    rules = dict(re.findall(r"\.(s\d+)\{([^}]*)\}", small))
    # neighbouring paths may have become one: each coordinate is compared with its style
    before, after = ([*_coordinates(text, rules)] for text in (svg, small))
    assert len(before) > 500
    assert [style for style, _ in after] == [style for style, _ in before]
    assert [value for _, value in after] == pytest.approx([value for _, value in before], abs=0.0501)


def _coordinates(svg: str, rules: dict[str, str]) -> Iterator[tuple[str | None, float]]:
    for path in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path"):
        style = path.get("style") or rules.get(path.get("class", ""))
        yield from ((style, float(number)) for number in re.findall(r"-?\d+\.?\d*", path.get("d", "")))
