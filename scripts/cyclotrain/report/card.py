"""The model card: what a model is, what it was made from, how good and how fast it is, and where that was proven."""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import markdown
import onnx

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import MODEL, model_metadata
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.files import atomic, file_sha256, read_json, read_json_lines

_TEMPLATES = Path(__file__).parent / "templates"


def card(
    description: str | None,
    licence: str | None,
    training: Mapping[str, Any],
    files: Mapping[str, str],
    plots: Sequence[str | Path],
    path_markdown: str | Path,
    path_html: str | Path,
) -> None:
    """Write the model card as Markdown, its plots named as files in `plots/`, and as HTML, its plots in the file.

    `files`: paths of model, contract, dataset, history, verification, evaluation and benchmark.
    """
    text = _template("model_card.md.jinja").render(_values(description, licence, training, files, plots))
    text = re.sub(r"\n{3,}", "\n\n", text)
    images = {f"plots/{Path(plot).name}": _data_uri(Path(plot)) for plot in plots}
    body = markdown.markdown(text, extensions=["tables", "sane_lists"])
    for name, uri in images.items():
        body = body.replace(f'src="{name}"', f'src="{uri}"')
    title = text.partition("\n")[0].removeprefix("# ")
    with atomic(path_markdown) as temporary:
        temporary.write_text(text)
    with atomic(path_html) as temporary:
        temporary.write_text(_template("model_card.html.jinja").render(title=title, body=body))


def _template(name: str) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _code
    environment.filters["value"] = lambda of, form: "none left" if of["value"] is None else _with_uncertainty(of, form)
    return environment.get_template(name)


def _code(text: str) -> str:
    """Text as code in a cell of a Markdown table, where a bar would end the cell, and a backtick the code."""
    if not re.search(r"[|`]", text):
        return f"`{text}`"
    return f"<code>{html.escape(text).replace('|', '&#124;').replace('`', '&#96;')}</code>"


def _with_uncertainty(of: Mapping[str, float], form: str) -> str:
    return f"{of['value']:{form}} ± {of['uncertainty']:{form}}"


def _values(
    description: str | None,
    licence: str | None,
    training: Mapping[str, Any],
    files: Mapping[str, str],
    plots: Sequence[str | Path],
) -> dict[str, Any]:
    model = onnx.load(files["model"])
    contract = Contract.read(files["contract"])
    verification = read_json(files["verification"])
    of_model = [line for line in verification["matrix"] if line["artefact"] == MODEL and not line["tf32"]]
    history = read_json_lines(files["history"])
    kept = min(history, key=lambda line: line["validation_loss"])
    return {
        "description": description,
        "licence": licence,
        "contract": contract,
        "metadata": model_metadata(model),
        "opset": model.opset_import[0].version,
        "ir_version": model.ir_version,
        "model_sha256": file_sha256(files["model"]),
        "parameters": sum(_size(tensor) for tensor in model.graph.initializer),
        "dataset": read_json(files["dataset"]),
        "splits": SPLITS,
        "training": training,
        "epochs": len(history),
        "kept": kept,
        "seconds": sum(line["seconds"] for line in history),
        "trained": datetime.fromtimestamp(history[-1]["time"], UTC).strftime("%Y-%m-%d"),
        "verification": verification,
        "comparisons": sum(line["cases"] for line in of_model),
        "comparisons_failed": sum(line["cases_failed"] for line in of_model),
        # of a variant's sessions, the one that is farthest off
        "variants": {line["artefact"]: line for line in sorted(verification["matrix"], key=lambda line: line["max_abs"])},
        "evaluation": read_json(files["evaluation"]),
        "benchmark": read_json(files["benchmark"]),
        "plots": {Path(plot).stem for plot in plots},
    }


def _size(tensor: onnx.TensorProto) -> int:
    size = 1
    for length in tensor.dims:
        size *= length
    return size


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
