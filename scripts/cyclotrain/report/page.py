"""The report of a run: one HTML page with everything in it, that needs no network and no other file."""

import base64
import gzip
import html
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cyclotrain.contract.run import Run
from cyclotrain.core.files import atomic
from cyclotrain.report.catalogue import PERFORMANCE, REGRESSION, SPEED, TRAINING, TRUST, Plot
from cyclotrain.report.facts import About, facts, template, to_html
from cyclotrain.report.numbers import archive, csv_name
from cyclotrain.report.svg import compact, data_uri
from cyclotrain.report.tables import Tables

_TEMPLATES = Path(__file__).parent / "templates"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """A file inside the page: its name, what its button says, and its content, gzip in base64."""

    name: str
    label: str
    content: str

    @classmethod
    def of(cls, name: str, label: str, content: bytes) -> "File":
        """Pack a file; the same bytes give the same text."""
        return cls(name, label, base64.b64encode(gzip.compress(content, mtime=0)).decode())


@dataclass(frozen=True)
class Shown:
    """A figure with its image, as a URI, and the files of its numbers."""

    plot: Plot
    image: str
    files: Sequence[File]


@dataclass(frozen=True)
class FoldOut:
    """Text, as HTML, that is shown on demand."""

    title: str
    text: str
    is_open: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page with its text, as HTML, and its figures."""

    title: str
    text: str = ""
    figures: Sequence[Shown] = ()
    folds: Sequence[FoldOut] = ()
    files: Sequence[File] = ()

    @property
    def anchor(self) -> str:
        """What links to the section name."""
        return re.sub(r"\W+", "-", self.title.lower())


def write_page(
    run: Run, about: About, *, plots: Sequence[Plot], config: Mapping[str, Any], bundle: str | Path, path: str | Path
) -> None:
    """Write the report of a run.

    plots: the figures, whose SVG and tables are in `plots/` beside the evaluation. config: the whole configuration. bundle: where
    the bundle is, or will be, if all gates passed.
    """
    folder = run.files["evaluation"].parent / "plots"
    tables = {plot: Tables.read(folder / f"{plot.name}.json") for plot in plots}
    shown = [_shown(plot, folder, tables[plot]) for plot in plots]
    values = facts(run, about)
    numbers = archive(tables, run=run.contract.run)
    text = template("report.html.jinja").render(
        **values,
        bundle=bundle,
        sections=list(_sections(values, shown, config=config, numbers=numbers)),
        css=(_TEMPLATES / "report.css").read_text(),
        script=(_TEMPLATES / "report.js").read_text(),
    )
    with atomic(path) as temporary:
        temporary.write_text(text)
    _log.info("%s: %d figures, %.1f MB", path, len(plots), len(text.encode()) / 1e6)


def write_page_of_folds(
    run: str, *, description: str | None, texts: Mapping[str, str | Path], pages: Sequence[str | Path], path: str | Path
) -> None:
    """Write the page of a cross-training: texts, and links to the pages of the folds, in folders beside it.

    texts: `summary` of all folds, and `figures`, the mean and the spread of each.
    """
    text = template("report_of_folds.html.jinja").render(
        run=run,
        description=description,
        **{name: Path(text).read_text() for name, text in texts.items()},
        pages={Path(page).parent.name: f"{Path(page).parent.name}/{Path(page).name}" for page in pages},
        css=(_TEMPLATES / "report.css").read_text(),
    )
    with atomic(path) as temporary:
        temporary.write_text(text)


def _sections(
    values: Mapping[str, Any], shown: Sequence[Shown], *, config: Mapping[str, Any], numbers: bytes
) -> Iterator[Section]:
    by_section: dict[str, list[Shown]] = {}
    for figure in shown:
        by_section.setdefault(figure.plot.section, []).append(figure)

    def text(name: str) -> str:
        return to_html(template(f"sections/{name}.md.jinja").render(values))

    yield Section("Gates", text("gates"))
    first = PERFORMANCE if PERFORMANCE in by_section else REGRESSION
    last = [Section(name, text(name.lower()), by_section.pop(name, [])) for name in (TRAINING, SPEED)]
    yield Section(first, text("performance"), by_section.pop(first, []))
    for name, figures in by_section.items():
        yield Section(name, text("trust") if name == TRUST else "", figures)
    yield from last
    matrix = FoldOut(f"All {len(values['verification'].matrix)} sessions", text("parity_matrix"))
    yield Section("Same answers everywhere", text("parity"), folds=[matrix])
    n_files = len(values["dataset"].files)
    yield Section("Data", text("data"), folds=[FoldOut(f"{n_files} input files", text("files"))])
    yield Section("Use", text("use"))
    yield Section("Limits", text("limits"))
    configuration = html.escape(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
    yield Section("Provenance", text("provenance"), folds=[FoldOut("Configuration", f"<pre>{configuration}</pre>")])
    about_numbers = "<p>The numbers behind all figures: CSV and JSON, and tables for a submission to HEPData.</p>"
    yield Section("Numbers", about_numbers, files=[File.of("numbers.zip", "all numbers (ZIP)", numbers)])


def _shown(plot: Plot, folder: Path, tables: Tables) -> Shown:
    files = [
        File.of(csv_name(plot, index, len(tables.tables)), _label(tables, index), table.as_csv().encode())
        for index, table in enumerate(tables.tables)
    ]
    files.append(File.of(f"{plot.name}.json", "JSON", (folder / f"{plot.name}.json").read_bytes()))
    return Shown(plot, data_uri(compact((folder / f"{plot.name}.svg").read_text())), files)


def _label(tables: Tables, index: int) -> str:
    """What the button of a table says."""
    return "CSV" if len(tables.tables) == 1 else tables.tables[index].name
