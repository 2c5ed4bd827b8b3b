"""Expressions on an ntuple's columns: NumPy arrays of numbers an entry, awkward arrays of lists; and what only ingest can do,
functions over lists and indices.
"""

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from cyclotrain.expressions.functions import Backend


def _dtype(x: Any) -> np.dtype[Any]:
    return x.dtype if isinstance(x, np.ndarray) else ak.to_numpy(ak.flatten(x, axis=None)).dtype


def _number(x: Any) -> Any:
    # booleans and integers as float64, so that no arithmetic overflows in an 8-bit branch
    if isinstance(x, np.ndarray):
        return x.astype(np.float64, copy=False)
    return float(x) if isinstance(x, bool | float) else ak.values_astype(x, np.float64)


def _real(x: Any) -> Any:
    return x if isinstance(x, float) or (not isinstance(x, bool) and _dtype(x).kind == "f") else _number(x)


def _is_condition(x: Any) -> bool:
    return isinstance(x, bool) or (not isinstance(x, float) and _dtype(x) == np.bool_)


def _where(condition: Any, x: Any, y: Any) -> Any:
    if any(isinstance(value, ak.Array) for value in (condition, x, y)):
        return ak.where(*ak.broadcast_arrays(condition, x, y))  # ak.where alone repeats no number an entry over its list
    return np.where(condition, x, y)


def _argmax(x: Any) -> Any:
    ordered = ak.where(x != x, -np.inf, _number(x))  # NaN is never the largest
    return ak.fill_none(ak.argmax(ordered, axis=-1), -1)


def element(x: Any, index: Any) -> Any:
    """`x[index]` of lists [n, var]: a list for a mask or a list of indices, else a number; NaN where the index points nowhere.

    Negative indices point nowhere, as in NanoAOD, where -1 says that there is no partner.
    """
    if isinstance(index, float):
        index = np.full(len(x), index)
    counts = ak.to_numpy(ak.num(x))
    per_list = ak.to_numpy(ak.num(index)) if index.ndim > 1 else np.ones(len(x), np.int64)
    if _dtype(index) == np.bool_:
        if index.ndim == 1:
            raise TypeError("an index is a condition for the whole entry, and chooses no element of a list")
        if (wrong := np.flatnonzero(counts != per_list)).size:
            entry = int(wrong[0])
            there = f"{per_list[entry]} conditions in entry {entry} of these, and the list {counts[entry]} elements"
            raise TypeError(f"an index has {there}")
        return x[index]
    starts = np.repeat(np.cumsum(counts) - counts, per_list)
    wanted = ak.to_numpy(ak.flatten(index, axis=None))
    if (between := wanted[np.isfinite(wanted) & (wanted != np.trunc(wanted))]).size:
        raise TypeError(f"an index is {between[0]:g}, which is no whole number")
    there = (wanted >= 0) & (wanted < np.repeat(counts, per_list))
    found: npt.NDArray[np.float64] = np.full(len(wanted), np.nan)
    found[there] = ak.to_numpy(ak.flatten(x))[starts[there] + wanted[there].astype(np.int64)]
    return ak.unflatten(found, per_list) if index.ndim > 1 else found


AWKWARD = Backend(
    where=_where,
    number=_number,
    real=_real,
    is_condition=_is_condition,
    elementary=np,
    lists={
        "num": lambda x: ak.num(x, axis=-1),
        "sum": lambda x: ak.sum(_number(x), axis=-1),
        "any": lambda x: ak.any(x, axis=-1),
        "all": lambda x: ak.all(x, axis=-1),
        "argmax": _argmax,
        "first": lambda x: element(x, 0.0),
        "leading": lambda x, n: x[..., : int(n)],
        "[]": element,
    },
)
