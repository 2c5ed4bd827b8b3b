"""The model card: what a model is, what it was made from, how good and how fast it is, and where that was proven."""

import base64
import html
import logging
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
from cyclotrain.contract.results import BOOSTED_TREES, MODEL, Figure
from cyclotrain.contract.run import Run
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.files import atomic, file_sha256

_TEMPLATES = Path(__file__).parent / "templates"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class About:
    """What only the configuration says: words on the model, and how it was trained."""

    description: str | None
    licence: str | None
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    """The card as Markdown, with its plots named as files in `plots/`, and as HTML, with its plots in the page."""

    markdown: str
    html: str

    def write(self, path_markdown: str | Path, path_html: str | Path) -> None:
        """Write both, each whole or not at all."""
        for path, text in ((path_markdown, self.markdown), (path_html, self.html)):
            with atomic(path) as temporary:
                temporary.write_text(text)
        _log.info("%s: %.1f MB", path_html, len(self.html) / 1e6)


def card(run: Run, about: About, plots: Mapping[str, str | Path]) -> Card:
    """The card of a run; `plots`: PNG files by their titles."""
    text = _template("model_card.md.jinja").render(_values(run, about, plots))
    text = re.sub(r"\n{3,}", "\n\n", text)
    body = markdown.markdown(text, extensions=["tables", "sane_lists"])
    for plot in map(Path, plots.values()):
        body = body.replace(f'src="plots/{plot.name}"', f'src="{_data_uri(plot)}"')
    title = text.partition("\n")[0].removeprefix("# ")
    return Card(text, _template("model_card.html.jinja").render(title=title, body=body))


def _template(name: str) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _code
    environment.filters["value"] = _with_uncertainty
    return environment.get_template(name)


def _code(text: str) -> str:
    """Text as code in a cell of a Markdown table, where a bar would end the cell, and a backtick the code."""
    if not re.search(r"[|`]", text):
        return f"`{text}`"
    return f"<code>{html.escape(text).replace('|', '&#124;').replace('`', '&#96;')}</code>"


def _with_uncertainty(figure: Figure, form: str, mark: str = "") -> str:
    return "none left" if figure.value is None else f"{figure.value:{form}}{mark} ± {figure.uncertainty:{form}}"


def _values(run: Run, about: About, plots: Mapping[str, str | Path]) -> dict[str, Any]:
    model = onnx.load(run.files["model"])
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
        "titles": {Path(path).stem: title for title, path in plots.items()},
    }


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


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
