"""What a consumer is, and the folder of a bundle that it writes."""

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from cyclotrain.contract import Contract, Layout
from cyclotrain.deploy.names import quoted

FOLDER = Path(__file__).parent


def _takes_any(layout: Layout) -> None:
    """The check of a consumer that takes every model."""


@dataclass(frozen=True)
class Consumer:
    """Software that runs the model. A bundle has a folder of its name; `deploy/consumers/` has one with its templates.

    `title`: what it is called at the end of a run. `purpose` and `check_it`: what its folder has, and how a user checks it, as
    templates of Markdown. `write` writes the folder. `check` raises InputError for a model that the software cannot take.
    """

    title: str
    purpose: str
    check_it: str
    write: "Callable[[Making], None]"
    check: Callable[[Layout], None] = _takes_any


@dataclass(frozen=True)
class Making:
    """The folder of a consumer in the making.

    `values`: what templates say. `files`: the files of the model by their form; `onnx` is among them in any case.
    """

    name: str
    folder: Path
    contract: Contract
    values: Mapping[str, Any]
    files: Mapping[str, Path]

    def render(self, places: Mapping[str, str] | None = None, *, leave_out: Collection[str] = ()) -> None:
        """Write every template of the consumer but some, at its own path without `.jinja` or where `places` says."""
        own = FOLDER / self.name
        for path in sorted(own.rglob("*")):
            template = path.relative_to(own).as_posix()
            if path.is_file() and path.name != "__init__.py" and path.suffix != ".pyc" and template not in leave_out:
                self.render_one(f"{self.name}/{template}", (places or {}).get(template, template.removesuffix(".jinja")))

    def render_one(self, template: str, place: str) -> None:
        """Write one template, given by its path below `deploy/consumers/`."""
        self.write(place, templates(FOLDER).get_template(template).render(self.values))

    def write(self, place: str, text: str) -> None:
        """Write a text file."""
        (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / place).write_text(text)

    def copy(self, form: str, place: str) -> None:
        """Copy a file of the model."""
        (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.files[form], self.folder / place)


def templates(folder: Path) -> jinja2.Environment:
    """The templates below a folder; a name that they do not find is an error."""
    loader = jinja2.FileSystemLoader(folder)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["quoted"] = quoted
    return environment
