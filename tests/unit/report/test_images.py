"""The pictures of the documentation: each is shown, and comes from the run."""

from pathlib import Path

import pytest

from cyclotrain.report.images import IMAGES, copy_plots, graph
from support import REPOSITORY
from support.pages import PAGES


def test_every_picture_is_shown_on_a_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [path.name for path in (REPOSITORY / IMAGES).rglob("*.*") if path.name not in text] == []


def test_the_plots_that_pages_show_are_copied_and_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    IMAGES.mkdir(parents=True)
    (tmp_path / "run/plots").mkdir(parents=True)
    for plot in ("roc.png", "loss.png"):
        (tmp_path / "run/plots" / plot).write_text(f"new {plot}")
    (IMAGES / "roc.png").write_text("old")
    (IMAGES / "a-page.png").write_text("a screenshot")
    (tmp_path / "README.md").write_text("![ROC](docs/images/roc.png) ![rules](docs/images/dag.svg)")
    (tmp_path / "docs/page.md").write_text("![A page](images/a-page.png)")
    copy_plots(Path("run"))
    assert {path.name: path.read_text() for path in IMAGES.iterdir()} == {"roc.png": "new roc.png", "a-page.png": "a screenshot"}
    assert capsys.readouterr().out == "docs/page.md shows images/a-page.png, which is no plot of run\n"


def test_a_rule_has_the_colour_of_what_it_does() -> None:
    rules = 'digraph {\n\t0[label = "all"];\n\t1[label = "train"];\n\t2[label = "verify"];\n\t1 -> 2\n\t2 -> 0\n}'
    lines = graph(rules).splitlines()
    assert lines[-4:] == ['train [color="#555555"];', 'verify [color="#0072b2"];', "train -> verify;", "}"]
