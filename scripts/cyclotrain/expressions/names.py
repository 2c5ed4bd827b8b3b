"""Names in an expression that Python's parser does not read as they stand: in backticks, or with letters beyond ASCII."""

import itertools
import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NAME = re.compile(r"`([^`]+)`|[^\W\d]\w*")
_OPERATORS = {"and", "or", "not"}  # the language has errors of its own for these


@dataclass(frozen=True)
class Readable:
    """A text that Python can parse, with a plain name in place of each other one. Columns count from 0.

    `names`: the branch for each plain name. `columns`: for each character, its column in the original text.
    """

    text: str
    names: Mapping[str, str]
    columns: Sequence[int]

    @classmethod
    def from_text(cls, text: str) -> "Readable":
        """Replace names in backticks. Also replace names beyond ASCII: Python would turn µ (U+00B5) into μ (U+03BC)."""
        prefix = "_name"
        while prefix in text:
            prefix += "_"
        pieces, columns, names, end = [], [], {}, 0
        matches = (match for match in _NAME.finditer(text) if match[1] or not match[0].isascii())
        for number, match in enumerate(matches):
            plain = f"{prefix}{number}"
            names[plain] = match[1] or match[0]
            pieces += [text[end : match.start()], plain]
            columns += [*range(end, match.start()), *itertools.repeat(match.start(), len(plain))]
            end = match.end()
        return cls("".join([*pieces, text[end:]]), names, [*columns, *range(end, len(text) + 1)])

    def column(self, column: int) -> int:
        """The column in the original text."""
        return self.columns[min(column, len(self.columns) - 1)]

    def reserved(self) -> re.Match[str] | None:
        """The first word that Python reserves, which the user may have meant as a branch."""
        words = [match for match in _NAME.finditer(self.text) if keyword.iskeyword(match[0])]
        words.sort(key=lambda match: match[0] in _OPERATORS)
        return words[0] if words else None
