"""A page of the documentation that a reader types: its blocks of code, in order, and what each prints."""

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w.-]+\.(?:py|yaml))\n")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
_ROUNDING = 0.02  # of another CPU, in a figure of a training


@dataclass(frozen=True)
class Block:
    """A block of code. `line`: that of its first line in the page; `outputs`: the blocks of text up to the next code."""

    language: str
    code: str
    line: int
    outputs: tuple[str, ...]

    @property
    def file(self) -> str:
        """The file that a reader writes the block to, by its first line; empty if the block is to be run."""
        named = _FILE.match(self.code)
        return named[1] if named else ""


def blocks(page: Path) -> list[Block]:
    """The blocks of code of a page."""
    text, blocks = page.read_text(), list[Block]()
    for block in _BLOCK.finditer(text):
        language, code = block.groups()
        if language == "text":
            blocks[-1] = Block(blocks[-1].language, blocks[-1].code, blocks[-1].line, (*blocks[-1].outputs, code))
        else:
            blocks.append(Block(language, code, text.count("\n", 0, block.start()) + 2, ()))
    return blocks


def type_block(block: Block, page: Path, namespace: dict[str, Any]) -> None:
    """Do with a block what a reader does in the current folder: write its file, or run its Python in the session `namespace`.

    What it prints must be what the page says; figures may differ by rounding.
    """
    if block.file:
        Path(block.file).write_text(block.code)
        return
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * (block.line - 1) + block.code, page, "exec"), namespace)
    said = "".join(block.outputs)
    assert without_numbers(printed.getvalue()) == without_numbers(said), f"{page.name}, line {block.line}"
    assert _numbers(printed.getvalue()) == pytest.approx(_numbers(said), abs=_ROUNDING), f"{page.name}, line {block.line}"


def without_numbers(text: str) -> str:
    """The text with # for each number."""
    return _NUMBER.sub("#", text)


def _numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in _NUMBER.findall(text)]
