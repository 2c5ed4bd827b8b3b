"""Evaluate expressions on an ntuple's columns: NumPy arrays for one number per entry, awkward arrays for lists.

Only this backend has functions over lists, and indices.
"""

import operator
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from cyclotrain.expressions.functions import Backend, modulo

_EXACT_IN_FLOAT32 = 2**24  # all whole numbers up to it


def _dtype(x: Any) -> np.dtype[Any]:
    return x.dtype if isinstance(x, np.ndarray) else ak.to_numpy(ak.flatten(x, axis=None)).dtype


def _number(x: Any) -> Any:
    # booleans and integers become float64, so that arithmetic on an 8-bit branch does not overflow
    if isinstance(x, np.ndarray):
        return x.astype(np.float64, copy=False)
    return float(x) if isinstance(x, bool | float) else ak.values_astype(x, np.float64)


def _real(x: Any) -> Any:
    return x if isinstance(x, float) or (not isinstance(x, bool) and _dtype(x).kind == "f") else _number(x)


def _is_condition(x: Any) -> bool:
    return isinstance(x, bool) or (not isinstance(x, float) and _dtype(x) == np.bool_)


def _compare(compare: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """Compare. A whole number is compared exactly with integers, and must be exact in a floating-point type to be equal to it."""
    return compare(_comparable(compare, x, y), _comparable(compare, y, x))


def _comparable(compare: Callable[[Any, Any], Any], x: Any, other: Any) -> Any:
    """The constant `x` as a number that is compared with `other`; anything else unchanged."""
    if not isinstance(x, int | float) or isinstance(other, int | float):
        return x
    if abs(x) <= _EXACT_IN_FLOAT32:
        return float(x)
    dtype = _dtype(other)
    if dtype in (np.int64, np.uint64) and x == np.trunc(x):
        limits = np.iinfo(dtype)
        return dtype.type(int(x)) if limits.min <= x <= limits.max else np.copysign(np.inf, x)
    if dtype.kind == "f" and isinstance(x, int) and compare in (operator.eq, operator.ne) and float(dtype.type(x)) != x:
        largest = 2 ** (np.finfo(dtype).nmant + 1)
        raise TypeError(f"a branch of type {dtype} cannot be {x}; it holds whole numbers up to {largest}")
    return float(x)


def _remainder(x: Any, y: Any) -> Any:
    is_positive = isinstance(y, float) and y > 0 and y == np.trunc(y)
    if is_positive and not isinstance(x, bool | float) and (dtype := _dtype(x)).kind in "iu":
        wide = np.uint64 if dtype == np.uint64 else np.int64  # holds y, which an 8-bit type may not
        integers = x.astype(wide) if isinstance(x, np.ndarray) else ak.values_astype(x, wide)
        return _number(integers % int(y))  # exact beyond 2^53
    return modulo(AWKWARD, x, y)


def _where(condition: Any, x: Any, y: Any) -> Any:
    if any(isinstance(value, ak.Array) for value in (condition, x, y)):
        return ak.where(*ak.broadcast_arrays(condition, x, y))  # ak.where does not repeat an entry's number over its list
    return np.where(condition, x, y)


def _argmax(x: Any) -> Any:
    ordered = ak.where(x != x, -np.inf, _number(x))  # NaN is never the largest
    return ak.fill_none(ak.argmax(ordered, axis=-1), -1)


def element(x: Any, index: Any) -> Any:
    """`x[index]` for lists [n, var]: a list for a mask or a list of indices, else a number. NaN where no such element exists.

    No element has a negative index: in NanoAOD, -1 means that there is no partner.
    """
    if isinstance(index, float):
        index = np.full(len(x), index)
    counts = ak.to_numpy(ak.num(x))
    per_list = ak.to_numpy(ak.num(index)) if index.ndim > 1 else np.ones(len(x), np.int64)
    if _dtype(index) == np.bool_:
        if index.ndim == 1:
            raise TypeError("the index is one condition per entry, which cannot choose elements of a list")
        if (wrong := np.flatnonzero(counts != per_list)).size:
            entry = int(wrong[0])
            raise TypeError(
                f"in entry {entry} of these, the index has {per_list[entry]} conditions and the list has {counts[entry]} elements"
            )
        return x[index]
    starts = np.repeat(np.cumsum(counts) - counts, per_list)
    wanted = ak.to_numpy(ak.flatten(index, axis=None))
    if (fractional := wanted[np.isfinite(wanted) & (wanted != np.trunc(wanted))]).size:
        raise TypeError(f"an index is {fractional[0]:g}, but must be a whole number")
    exists = (wanted >= 0) & (wanted < np.repeat(counts, per_list))
    elements: npt.NDArray[np.float64] = np.full(len(wanted), np.nan)
    elements[exists] = ak.to_numpy(ak.flatten(x))[starts[exists] + wanted[exists].astype(np.int64)]
    return ak.unflatten(elements, per_list) if index.ndim > 1 else elements


AWKWARD = Backend(
    where=_where,
    number=_number,
    real=_real,
    is_condition=_is_condition,
    compare=_compare,
    remainder=_remainder,
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
