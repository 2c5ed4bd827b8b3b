"""Expressions on an ntuple's columns: NumPy arrays of numbers an entry, awkward arrays of lists; and what only ingest can do,
functions over lists and indices.
"""

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from cyclotrain.functions import Backend


def _number(x: Any) -> Any:
    # booleans and integers as float64, so that no arithmetic overflows in an 8-bit branch
    if isinstance(x, np.ndarray):
        return x.astype(np.float64, copy=False)
    return x if isinstance(x, float) else ak.values_astype(x, np.float64)


def _where(condition: Any, x: Any, y: Any) -> Any:
    has_lists = any(isinstance(value, ak.Array) for value in (condition, x, y))
    return (ak.where if has_lists else np.where)(condition, x, y)


def _conditions(x: Any) -> Any:
    if ak.to_numpy(ak.flatten(x, axis=None)).dtype != np.bool_:
        raise TypeError("'any' and 'all' are over conditions, and this is a number; compare it with something")
    return x


def _argmax(x: Any) -> Any:
    ordered = ak.where(x != x, -np.inf, _number(x))  # NaN is never the largest
    return ak.fill_none(ak.argmax(ordered, axis=-1), -1)


def element(x: Any, index: Any) -> Any:
    """`x[index]` of lists [n, var]: a list for a mask or a list of indices, else a number; NaN where the index points nowhere.

    Negative indices point nowhere, as in NanoAOD, where -1 says that there is no partner.
    """
    if isinstance(index, float):
        index = np.full(len(x), index)
    if ak.to_numpy(ak.flatten(index, axis=None)).dtype == np.bool_:
        if index.ndim == 1:
            raise TypeError("an index is a condition for the whole entry, and chooses no element of a list")
        return x[index]
    per_list = ak.to_numpy(ak.num(index)) if index.ndim > 1 else np.ones(len(x), np.int64)
    counts = ak.to_numpy(ak.num(x))
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
    elementary=np,
    lists={
        "num": lambda x: ak.num(x, axis=-1),
        "sum": lambda x: ak.sum(_number(x), axis=-1),
        "any": lambda x: ak.any(_conditions(x), axis=-1),
        "all": lambda x: ak.all(_conditions(x), axis=-1),
        "argmax": _argmax,
        "first": lambda x: element(x, 0.0),
        "leading": lambda x, n: x[..., : int(n)],
        "[]": element,
    },
)
