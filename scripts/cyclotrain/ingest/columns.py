"""Expressions and constituents on a batch of an ntuple's columns, with errors that name the entries."""

from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from cyclotrain.core.errors import InputError
from cyclotrain.expressions import Expression, ExpressionError
from cyclotrain.expressions.awkward_backend import AWKWARD


def evaluate(expression: Expression, values: Mapping[str, Any], *, key: str, where: str) -> Any:
    """An expression on columns; raises ExpressionError naming the `key` of the config and `where` in the ntuple."""
    try:
        with np.errstate(all="ignore"):  # log(0) and 0/0 are legal; NaN is handled where it matters
            return expression(values, AWKWARD)
    except ExpressionError as error:
        raise ExpressionError(f"{where}: {key}: {error}") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExpressionError(f"{where}: {key}: '{expression.text}' cannot be computed: {reason}") from error


def define(values: dict[str, Any], definitions: Mapping[str, str], where: str) -> None:
    """Add the defined columns to `values`; later definitions may use earlier ones."""
    for name, text in definitions.items():
        values[name] = evaluate(Expression(text), values, key=f"define.{name}", where=where)


def column(value: Any, n: int) -> npt.NDArray[Any]:
    """The value of an expression as an array [n]; a constant is repeated."""
    return np.full(n, value) if isinstance(value, float) else ak.to_numpy(value)


def identifying(branches: Sequence[str], values: Mapping[str, Any], where: str) -> list[npt.NDArray[Any]]:
    """The branches that identify an event, one number per event. Delphes writes each as a list of one.

    Raises InputError for lists of any other length.
    """
    columns = []
    for branch in branches:
        array = values[branch]
        if array.ndim > 1:
            counts = ak.to_numpy(ak.num(array))
            if (wrong := np.flatnonzero(counts != 1)).size:
                raise InputError(
                    f"{where}: '{branch}' must identify an event by one number, but has {counts[wrong[0]]} elements in entry "
                    f"{wrong[0]} of these"
                )
            array = ak.flatten(array)
        columns.append(ak.to_numpy(array))
    return columns


def selected(cuts: Sequence[str], values: Mapping[str, Any], n: int, where: str) -> npt.NDArray[np.bool_]:
    """Which of the n events pass all cuts. Raises InputError for a cut that is a number, because NaN would count as true."""
    keep = np.ones(n, np.bool_)
    for i, cut in enumerate(cuts):
        passes = column(evaluate(Expression(cut), values, key=f"selection {i + 1}", where=where), n)
        if passes.dtype != np.bool_:
            raise InputError(f"{where}: the selection '{cut}' is a number, not a condition; compare it with something")
        keep &= passes
    return keep


def constituents(
    branches: Sequence[str], values: Mapping[str, Any], where: str
) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int64]]:
    """The jagged branches of one set: the values of each [n_constituents], and the number of constituents per event [n].

    Raises InputError for branches with different lengths in an event.
    """
    columns: list[npt.NDArray[np.float32]] = []
    counts = None
    for branch in branches:
        lists = values[branch].layout.to_ListOffsetArray64(True)  # does what ak.to_packed does, in a tenth of the time
        offsets = np.asarray(lists.offsets)
        lengths = np.diff(offsets)
        counts = lengths if counts is None else counts
        if (different := np.flatnonzero(lengths != counts)).size:
            event = int(different[0])
            raise InputError(
                f"{where}: branches of one set have different lengths: '{branches[0]}' has {counts[event]} and '{branch}' has "
                f"{lengths[event]} elements in entry {event} of these; put branches of other constituents into another set"
            )
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, as in the graph
            columns.append(ak.to_numpy(lists.content)[: offsets[-1]].astype(np.float32, copy=False))
    assert counts is not None
    return columns, counts
