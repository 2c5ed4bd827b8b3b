"""The numbers behind a figure, as tables: a file `<figure>.json` beside each plot, from which the page makes CSV and HEPData."""

import csv
import io
from collections.abc import Iterable, Sequence

from cyclotrain.contract.results import Frozen, Result


class Column(Frozen):
    """Values [n] of a table; None or text where there is no number.

    uncertainty: one standard deviation of each. low and high: the edges of bins, whose middle is the value. is_independent: what
    the other columns are given for, such as the signal efficiency.
    """

    name: str
    values: tuple[float | str | None, ...]
    unit: str = ""
    uncertainty: tuple[float | None, ...] | None = None
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    is_independent: bool = False


def binned(name: str, edges: Sequence[float], *, unit: str = "") -> Column:
    """What the other columns are given for, in bins with these edges [n + 1]."""
    low, high = tuple(edges[:-1]), tuple(edges[1:])
    middle = tuple((a + b) / 2 for a, b in zip(low, high, strict=True))
    return Column(name=name, values=middle, unit=unit, low=low, high=high, is_independent=True)


class Table(Frozen):
    """Columns of the same length."""

    name: str
    columns: tuple[Column, ...]

    def as_csv(self) -> str:
        """With a column for each uncertainty and each edge."""
        names: list[str] = []
        columns: list[Iterable[object]] = []
        for column in self.columns:
            name = f"{column.name} [{column.unit}]" if column.unit else column.name
            parts = {
                name: column.values,
                f"{name}, uncertainty": column.uncertainty,
                f"{name}, low": column.low,
                f"{name}, high": column.high,
            }
            for part, values in parts.items():
                if values is not None:
                    names.append(part)
                    columns.append(values)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))
        return text.getvalue()


class Tables(Result):
    """All tables of a figure."""

    tables: tuple[Table, ...]
