"""The numbers behind all figures of a run in one archive: CSV and JSON, and a submission for HEPData."""

import contextlib
import io
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cyclotrain.report.catalogue import Plot
from cyclotrain.report.tables import Column, Table, Tables

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of ZIP's calendar: the same numbers give the same archive
_DIGITS = 6  # significant, in HEPData


def archive(tables: Mapping[Plot, Tables], *, run: str) -> bytes:
    """A ZIP file with the folders `csv`, `json` and `hepdata`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in [*_files(tables), *_hepdata(tables, run)]:
            information = zipfile.ZipInfo(name, _FIRST_DAY)
            information.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(information, text)
    return content.getvalue()


def csv_name(plot: Plot, index: int, n: int) -> str:
    """The file of a table, which is the one with this index, from 0, of `n`."""
    return f"{plot.name}.csv" if n == 1 else f"{plot.name}_{index + 1}.csv"


def _files(tables: Mapping[Plot, Tables]) -> Iterator[tuple[str, str]]:
    for plot, of_plot in tables.items():
        yield f"json/{plot.name}.json", of_plot.model_dump_json(indent=2) + "\n"
        for index, table in enumerate(of_plot.tables):
            yield f"csv/{csv_name(plot, index, len(of_plot.tables))}", table.as_csv()


def _hepdata(tables: Mapping[Plot, Tables], run: str) -> Iterator[tuple[str, str]]:
    # imported here: it takes a second, and only the page needs it
    import hepdata_lib

    submission = hepdata_lib.Submission()
    submission.comment = f"Figures of the run {run} of Cyclotrain."
    taken: set[str] = set()
    for plot, of_plot in tables.items():
        for table in of_plot.tables:
            known = _complete_rows(table)
            if not known or all(column.is_independent for column in table.columns):
                continue
            entry = hepdata_lib.Table(_distinct(table.name, taken))
            entry.description = plot.caption
            entry.location = plot.title
            for column in table.columns:
                entry.add_variable(_variable(hepdata_lib, column, known))
            submission.add_table(entry)
    if not taken:
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings():
        # it writes its archive into the working directory
        warnings.simplefilter("ignore")
        submission.create_files("hepdata", validate=False)
        for path in sorted(Path("hepdata").iterdir()):
            yield str(path), path.read_text()


def _complete_rows(table: Table) -> list[int]:
    """The rows without a missing value; HEPData has none."""
    rows = range(len(table.columns[0].values))
    return [row for row in rows if all(column.values[row] is not None for column in table.columns)]


def _variable(library, column: Column, rows: Iterable[int]):  # type: ignore[no-untyped-def]
    rows = list(rows)
    is_binned = column.low is not None and column.high is not None
    variable = library.Variable(
        column.name,
        is_independent=column.is_independent,
        is_binned=is_binned,
        units=column.unit,
        zero_uncertainties_warning=False,
    )
    if column.low is not None and column.high is not None:
        variable.values = [(_rounded(column.low[row]), _rounded(column.high[row])) for row in rows]
    else:
        variable.values = [_rounded(column.values[row]) for row in rows]
    if column.uncertainty is not None and not column.is_independent:
        uncertainty = library.Uncertainty("stat")
        uncertainty.values = [_rounded(column.uncertainty[row] or 0.0) for row in rows]
        variable.add_uncertainty(uncertainty)
    return variable


def _rounded(value: float | str | None) -> float | str | None:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, (int, float)) else value


def _distinct(name: str, taken: set[str]) -> str:
    """A name of at most 64 characters that is a file's name too and differs from those that are taken, to which it is added."""
    short = re.sub(r"[^A-Za-z0-9 ._+-]+", " ", name).strip()[:60]
    number = next(n for n in range(1, len(taken) + 2) if (short if n == 1 else f"{short} {n}").lower() not in taken)
    distinct = short if number == 1 else f"{short} {number}"
    taken.add(distinct.lower())
    return distinct
