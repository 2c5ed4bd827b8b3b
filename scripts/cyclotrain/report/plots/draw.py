"""A figure by its name, `module.function`, from the files of the results that it shows."""

import importlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclotrain.contract.results import (
    STUDIES,
    Curves,
    Dataset,
    Evaluation,
    History,
    LearningRateScan,
    Timing,
    Verification,
)
from cyclotrain.report.plots.style import Label, labelled
from cyclotrain.report.tables import Tables

_RESULTS: Mapping[str, Any] = {
    "dataset": Dataset,
    "history": History,
    "learning_rate": LearningRateScan,
    "verification": Verification,
    "evaluation": Evaluation,
    "curves": Curves,
    "timing": Timing,
    **STUDIES,
}
_log = logging.getLogger(__name__)


def draw(
    figure: str,
    results: Mapping[str, str | Path],
    paths: Sequence[str | Path],
    *,
    label: Label | None = None,
    **options: str,
) -> None:
    """Call `cyclotrain.report.plots.<module>.<function>` with the results, read by their names, paths and options.

    paths: `.png`, `.svg`, and `.json` for the tables of the numbers that the function gives.
    """
    module, _, function = figure.partition(".")
    read = {name: _RESULTS[name].read(path) for name, path in results.items()}
    start = time.perf_counter()
    images = [path for path in paths if Path(path).suffix != ".json"]
    drawing = getattr(importlib.import_module(f"cyclotrain.report.plots.{module}"), function)
    with labelled(label):
        tables = Tables(tables=tuple(drawing(**read, paths=images, **options)))
    for path in (path for path in paths if Path(path).suffix == ".json"):
        tables.write(path)
    _log.info("%s, drawn in %.1f s", " and ".join(Path(path).name for path in paths), time.perf_counter() - start)
