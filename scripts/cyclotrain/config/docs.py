"""Generate the comments of `config/config.yaml`, the JSON schema and the pages of reference from the config model.

Run: python -m cyclotrain.config.docs (`make docs`). A test fails if a file differs from the generated one.
"""

import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cyclotrain.config import Config, inner_model, keys
from cyclotrain.config.networks import BUILT_IN, NetworkOptions
from cyclotrain.contract import figures
from cyclotrain.expressions.functions import CONSTANTS, FUNCTIONS
from cyclotrain.runtimes import targets

_TAKEN = {
    "constituents": "constituents (a set with `max_length`)",
    "flat": "a flat set",
    "four_vectors": "a `four_vector` in each set of constituents",
}
SCHEMA, README, YAML = Path("workflow/schemas/config.schema.json"), Path("config/README.md"), Path("config/config.yaml")
EXAMPLES, FIGURES, TARGETS = Path("config/examples/README.md"), Path("docs/figures.md"), Path("docs/targets.md")
_WIDTH = 110


def files() -> dict[Path, str]:
    """The text of each generated file; the YAML keeps its values."""
    return {
        SCHEMA: schema(),
        README: readme(),
        YAML: commented(yaml.safe_load(YAML.read_text())),
        EXAMPLES: examples(sorted(EXAMPLES.parent.glob("*.yaml"))),
        FIGURES: figures_of_a_run(),
        TARGETS: deployment_targets(),
    }


def schema() -> str:
    """The JSON schema, with which an editor completes and checks a config."""
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}, indent=2) + "\n"


def commented(values: Mapping[str, Any]) -> str:
    """A config as YAML, with the description of each key above it."""
    lines = [
        "# yaml-language-server: $schema=../workflow/schemas/config.schema.json",
        "# All keys: config/README.md",
    ]
    lines += _lines(values, Config, "")
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any], model: type[BaseModel], indent: str, described: set[str] | None = None) -> Iterator[str]:
    described = set() if described is None else described
    for key, value in values.items():
        field = model.model_fields[key]
        if not indent:
            yield ""
        if field.description and field.description not in described:  # once for all samples
            described.add(field.description)
            yield from (
                f"{indent}# {line}" for line in textwrap.wrap(field.description, _WIDTH - len(indent), break_on_hyphens=False)
            )
        inner = inner_model(field.annotation)
        if isinstance(value, Mapping) and inner:
            yield f"{indent}{key}:"
            if str(field.annotation).startswith("dict"):
                for name, section in value.items():
                    yield f"{indent}  {name}:"
                    yield from _lines(section, inner, indent + "    ", described)
            else:
                yield from _lines(value, inner, indent + "  ", described)
        elif isinstance(value, Mapping) and len(_scalar(value)) > _WIDTH:
            yield f"{indent}{key}:"
            yield from (f"{indent}  {_scalar({name: entry})[1:-1]}" for name, entry in value.items())
        elif isinstance(value, list) and any(len(str(element)) > 8 for element in value):
            yield f"{indent}{key}:"
            yield from (f"{indent}  - {_scalar(element)}" for element in value)
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()


def readme() -> str:
    """The reference of all keys and of the expression language, as Markdown."""
    rows = [_row(key, info) for key, info in keys()]
    networks = [line for name, section in BUILT_IN.items() for line in _network(name, section)]
    functions = [
        f"| `{name}` | {function.arguments} | {'ingest' if function.lists else 'graph, ingest'} | {function.meaning} |"
        for name, function in FUNCTIONS.items()
    ]
    return "\n".join(
        [
            "# Configuration",
            "",
            "Generated from `scripts/cyclotrain/config/` by `make docs`; do not edit. `config.yaml` is the demo; `examples/` has",
            "other configs to copy. Run your own with `make run CONFIG=my.yaml` or `snakemake --cores 8 --configfile my.yaml`;",
            "change single keys with `--config seed=2`. Your config replaces the whole config of the demo.",
            "",
            "`<name>` stands for a name that you choose.",
            "",
            "| key | type | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Options of the built-in networks",
            "",
            "For `model.options`. All sets are used: several sets of constituents, and flat ones beside them.",
            "",
            *networks,
            "## Expressions",
            "",
            "Branch names (in backticks where they are not Python names: `` `b-tag` > 0 ``), numbers, `+ - * / ** %`,",
            "comparisons (also `0 < x < 5`), and `&`, `|`, `~` on conditions, each in brackets. In arithmetic, a condition is",
            "0 or 1. `x % y` has the sign of `y`, as in Python. Features are computed inside the exported graph, in float32,",
            "where a boolean branch is a number: write `isTight != 0` for the condition. The expressions of `selection`,",
            "`define`, `weight`, `label` and `baseline` are computed when files are read, in the precision of the branch; an",
            "integer branch is compared with a whole number exactly, however large.",
            f"Constants: {', '.join(f'`{name}`' for name in CONSTANTS)}.",
            "",
            "When files are read, expressions can also cut, count and index lists: `num(Jet_pt[Jet_pt > 30]) >= 4`,",
            "`Jet_pt[argmax(Jet_btag)]`, `Jet_pt[0]` for the first, and `Jet_pt[Muon_jetIdx]` for one collection by the index",
            "of another. An index out of range gives NaN; a negative index is always out of range. A comparison with NaN is",
            "false. A feature has an index only if it is a number: `x[0]` is then an input of the model of this name.",
            "",
            "| function | arguments | where | meaning |",
            "|---|---|---|---|",
            *functions,
            "",
        ]
    )


def examples(paths: Iterable[Path]) -> str:
    """The list of example configs, each with the first sentence of its comment, as Markdown."""
    lines = ["# Example configs", "", "Generated by `make docs` from the first sentence of each; do not edit.", ""]
    lines += ["| config | what it is |", "|---|---|"]
    for path in paths:
        comment = re.findall(r"^# (?!yaml-language-server)(.*)", path.read_text().partition("\nrun:")[0], re.MULTILINE)
        sentence = re.split(r"\.(?= |$)", " ".join(comment))[0]
        lines.append(f"| [{path.stem}]({path.name}) | {sentence} |")
    return "\n".join([*lines, ""])


def figures_of_a_run() -> str:
    """The names of the figures with their meaning, as Markdown."""
    lines = [
        "# Figures", "",
        "Generated from `scripts/cyclotrain/contract/figures.py` by `make docs`; do not edit. By these names, `gates:`",
        "([gates](gates.md)) and MLflow know the figures of a run. `python -m cyclotrain figures my.yaml` lists those",
        "of a config.", "",
        "`<name>` stands for a name of your config, and 0.5, p50 or 1024 for one of its numbers. A figure of the boosted",
        "trees has `.boosted_trees` at its end, a figure of a variant the name of the variant.", "",
        "| figure | meaning |", "|---|---|",
    ]  # fmt: skip
    lines += [f"| `{name}` | {meaning} |" for name, meaning in _figures()]
    return "\n".join([*lines, ""])


_ARGUMENTS: Mapping[str, Any] = {
    "efficiency": 0.5, "mistag": 0.01, "quantile": 0.5, "batch_size": 1024, "percentile": "p50", "of": "size",
}  # fmt: skip


def _figures() -> Iterator[tuple[str, str]]:
    """Name and meaning, in Markdown, of each figure: the functions of `contract/figures.py` that give a name."""
    for function_name, function in vars(figures).items():
        if function_name.startswith("_") or getattr(function, "__annotations__", {}).get("return") is not str:
            continue
        parameters = inspect.signature(function).parameters.values()
        arguments = [_ARGUMENTS.get(p.name, f"<{p.name.removesuffix('_name')}>") for p in parameters if p.default is p.empty]
        yield function(*arguments), inspect.cleandoc(function.__doc__ or "").replace("|", r"\|")
    yield figures.COLD_START, "The time from the file to the first answer, in ms."


def deployment_targets() -> str:
    """The table of `runtimes/targets.py`, as Markdown."""
    lines = [
        "# Targets", "",
        "Generated from `scripts/cyclotrain/runtimes/targets.py` by `make docs`; do not edit. `export.targets` takes any release",
        "of CMSSW and any container of Triton from the first one below on; `python -m cyclotrain targets` lists the same.",
        "A release between two rows has the versions of the earlier row, or newer ones. Where a source does not name the release",
        "of CMSSW (2026), it is the development release of that time.", "",
        f"| {' | '.join(targets.COLUMNS)} |", "|---" * len(targets.COLUMNS) + "|",
        *(f"| {' | '.join(row)} |" for row in targets.table()), "",
        "IR version and opset were measured with the ONNX Runtime of that version. A file for several targets has the lowest of",
        "them. The opset is at most 20: above it, PyTorch writes an operator, `Attention`, that fails at run time with the masks",
        "of sets.", "",
        "A LibTorch is PyTorch's wheel of that version, without its libraries for GPUs and Python (0.55 GB in",
        "`results/runtimes/`), and a small C++ program that is compiled against it: `g++`, or the compiler in `CXX`, is needed.",
        "The release of the installed PyTorch is not downloaded again. The program answers as consumers in C++ do: one model,",
        "as loaded and frozen, called by one thread and by several at the same time. PyTorch 2.13's TorchScript runs in every",
        f"LibTorch of the table, its packages of AOTInductor from {targets.AOT_INDUCTOR_SINCE} on.",
    ]  # fmt: skip
    return "\n".join([*lines, ""])


def _row(key: str, info: Any) -> str:
    return f"| `{key}` | {_type(info)} | {_default(info)} | {info.description} |"


def _network(name: str, section: type[NetworkOptions]) -> list[str]:
    """The options of a network."""
    needs = [what for kind, what in _TAKEN.items() if getattr(section.takes, kind) == "needed"]
    rows = [_row(option, info) for option, info in section.model_fields.items()]
    presets = [
        f"`preset: {preset}` stands for `{_scalar(dict(values))}`; other options given beside it replace its values."
        for preset, values in section.presets.items()
    ]
    return [
        f"### `{name}`", "", f"{section.__doc__} Needs {' and '.join(needs)}.", "",
        "| option | type | default | meaning |", "|---|---|---|---|", *rows, "",
        *(line for text in presets for line in (text, "")),
    ]  # fmt: skip


def _type(info: Any) -> str:
    annotation = info.annotation
    if inner_model(annotation):
        return "by name" if str(annotation).startswith("dict") else "section"
    text = str(annotation) if not isinstance(annotation, type) else annotation.__name__
    for part, name in (
        ("dict", "mapping"),
        ("list", "list"),
        ("Literal", "choice"),
        ("float", "number"),
        ("bool", "boolean"),
        ("int", "integer"),
    ):
        if part in text:
            return name
    return "text"


def _default(info: Any) -> str:
    if info.default is PydanticUndefined:
        return "required"
    if info.default is None:
        return "none"
    return "see below" if isinstance(info.default, BaseModel) else f"`{_scalar(info.default)}`"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path)
