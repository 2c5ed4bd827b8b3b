"""What is told of a run, for the model card and for the report: the same facts from the same source."""

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import markdown
import onnx

from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import BOOSTED_TREES, MODEL, TIMED_BATCHES, Figure
from cyclotrain.contract.run import Run
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.files import file_sha256
from cyclotrain.report import forms

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class About:
    """What only the configuration says: words on the model, and how it was trained."""

    description: str | None
    licence: str | None
    training: Mapping[str, Any]


def template(name: str) -> jinja2.Template:
    """A template of `templates/`; in one for HTML, values are escaped."""
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=lambda name: (name or "").endswith(".html.jinja"),
    )  # fmt: skip
    environment.filters["code"] = _code
    environment.filters["value"] = _with_uncertainty
    return environment.get_template(name)


def to_html(text: str) -> str:
    """Markdown with tables as HTML."""
    return markdown.markdown(re.sub(r"\n{3,}", "\n\n", text), extensions=["tables", "sane_lists"])


def facts(run: Run, about: About) -> dict[str, Any]:
    """The values that templates use."""
    model, compared = onnx.load(run.files["model"]), run.evaluation.compared
    sessions = run.verification.sessions(MODEL)
    return {
        "run": run,
        "about": about,
        "training": dict(_options_in_use(about.training)),
        "contract": run.contract,
        "dataset": run.dataset,
        "verification": run.verification,
        "evaluation": run.evaluation,
        "timing": run.timing,
        "advice": forms.advice(run.timing),
        "form_names": forms.NAMES,
        "timed_batches": (32, max(TIMED_BATCHES)),  # the plot has the others
        "gates": run.gates,
        "metadata": model_metadata(model),
        "opset": model.opset_import[0].version,
        "ir_version": model.ir_version,
        "model_sha256": file_sha256(run.files["model"]),
        "parameters": sum(_size(tensor) for tensor in model.graph.initializer),
        "splits": SPLITS,
        "trained": datetime.fromtimestamp(run.history.epochs[-1].time, UTC).strftime("%Y-%m-%d"),
        "comparisons": sum(session.cases for session in sessions),
        "comparisons_failed": sum(session.cases_failed for session in sessions),
        # the session of each file that is farthest off
        "farthest": {row.artefact: row for row in sorted(run.verification.matrix, key=lambda row: row.max_abs)},
        "model": run.evaluation.performance.get(MODEL, {}),
        "boosted_trees": run.evaluation.performance.get(BOOSTED_TREES, {}),
        "beside": [("exported model", MODEL), ("boosted trees", BOOSTED_TREES), *((c.name, c.name) for c in compared)],
    }


def _code(text: str) -> str:
    """Text as code in a cell of a Markdown table, where a bar would end the cell, and a backtick the code."""
    if not re.search(r"[|`]", text):
        return f"`{text}`"
    return f"<code>{html.escape(text).replace('|', '&#124;').replace('`', '&#96;')}</code>"


def _with_uncertainty(figure: Figure, form: str, mark: str = "") -> str:
    return "none left" if figure.value is None else f"{figure.value:{form}}{mark} ± {figure.uncertainty:{form}}"


def _options_in_use(training: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The options of a training without those that are switched off."""
    for key, value in training.items():
        is_off = value is None or value is False or value in ([], {})
        if not is_off and (key != "load" or training["initial_weights"]):
            yield key, value


def _size(tensor: onnx.TensorProto) -> int:
    size = 1
    for length in tensor.dims:
        size *= length
    return size
