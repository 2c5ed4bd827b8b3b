"""The pages of the documentation: their blocks of code, in order, and what each prints."""

import contextlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from support import REPOSITORY

PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md", "config/**/*.md") for path in REPOSITORY.glob(pattern))

_BLOCK = re.compile(r"^```(\w*)([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w.-]+\.(?:py|yaml))\n")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
_ROUNDING = 0.02  # of another CPU, in a figure of a training


@dataclass(frozen=True)
class Block:
    """A block of code. `line`: that of its first line in the page; `outputs`: the blocks of text up to the next code.

    `marker`: the word behind the language, if it cannot run as it stands.
    """

    language: str
    marker: str
    code: str
    line: int
    outputs: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """The file that a reader writes the block to, by its first line; empty if the block is to be run."""
        named = _FILE.match(self.code)
        return named[1] if named else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of code of a page."""
    text, blocks = page.read_text(), list[Block]()
    for block in _BLOCK.finditer(text):
        language, marker, code = block.groups()
        if language == "text" and blocks:
            blocks[-1] = replace(blocks[-1], outputs=(*blocks[-1].outputs, code))
        else:
            blocks.append(Block(language, marker.strip(), code, text.count("\n", 0, block.start()) + 2))
    return blocks


def type_block(block: Block, page: Path, namespace: dict[str, Any], *, is_compared: bool = True) -> None:
    """Do with a block what a reader does in the current folder: write its file, or run its Python in the session `namespace`.

    What it prints must be what the page says, if `is_compared`; figures may differ by rounding.
    """
    if block.file:
        Path(block.file).write_text(block.code)
        return
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), namespace)
    if not is_compared:
        return
    said = "".join(block.outputs)
    assert without_numbers(printed.getvalue()) == without_numbers(said), f"{page.name}, line {block.line}"
    assert _numbers(printed.getvalue()) == pytest.approx(_numbers(said), abs=_ROUNDING), f"{page.name}, line {block.line}"


def without_numbers(text: str) -> str:
    """The text with # for each number."""
    return _NUMBER.sub("#", text)


def _numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in _NUMBER.findall(text)]
