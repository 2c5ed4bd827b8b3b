"""The functions of the expression language, written once for both backends: awkward arrays at ingest, tensors in the graph."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

# A feature beyond it counts as non-finite: the training mean replaces it, as it replaces NaN. CMSSW's btagbtvdeep::catch_infs has
# the same limit, so both ways into CMSSW agree.
LARGEST = 1e32


@dataclass(frozen=True)
class Backend:
    """The few operations that awkward and torch spell differently. Everything else is shared."""

    where: Callable[[Any, Any, Any], Any]
    number: Callable[[Any], Any]
    real: Callable[[Any], Any]  # converts integers and booleans as `number` does, keeps floating point as it is
    is_condition: Callable[[Any], bool]
    compare: Callable[[Callable[[Any, Any], Any], Any, Any], Any]  # applies a comparison; whole-number constants come as int
    remainder: Callable[[Any, Any], Any]
    elementary: Any  # the module that holds log, exp, sqrt, ...
    lists: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # functions over lists; empty for the graph

    def unary(self, name: str) -> Callable[[Any], Any]:
        """The elementwise function `name`. NumPy computes it for plain numbers, the constants of an expression."""
        on_array, on_number = getattr(self.elementary, name), getattr(np, name)
        return lambda x: float(on_number(x)) if isinstance(x, float) else on_array(self.number(x))


def modulo(b: Backend, x: Any, y: Any) -> Any:
    """x modulo y with the sign of y, as Python's `%`: from operations that round alike in all runtimes. NaN for y = 0."""
    x, y = b.number(x), b.number(y)
    return x - y * b.unary("floor")(x / y)


def _minimum(b: Backend, x: Any, y: Any) -> Any:
    # Comparisons, because ONNX Runtime's Min and Max treat NaN differently from release to release.
    if isinstance(x, float) and isinstance(y, float):
        return min(x, y)
    return b.where((x < y) | (x != x), *_arrays(b, x, y))


def _maximum(b: Backend, x: Any, y: Any) -> Any:
    if isinstance(x, float) and isinstance(y, float):
        return max(x, y)
    return b.where((x > y) | (x != x), *_arrays(b, x, y))


def _arrays(b: Backend, x: Any, y: Any) -> tuple[Any, Any]:
    """Convert both alternatives of a choice to numbers of one type."""
    return b.number(x), b.number(y)


def _delta_phi(b: Backend, phi1: Any, phi2: Any) -> Any:
    """phi1 - phi2 in [-pi, pi). Uses only exactly rounded operations, so that runtimes agree for any argument."""
    difference = phi1 - phi2
    return difference - 2 * math.pi * b.unary("floor")((difference + math.pi) / (2 * math.pi))


def _delta_r(b: Backend, eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> Any:
    delta_eta, delta_phi = eta1 - eta2, _delta_phi(b, phi1, phi2)
    return _norm(b, delta_eta, delta_phi)


def _log1p(b: Backend, x: Any) -> Any:
    """log(1 + x) to full precision from log (Goldberg 1991, theorem 4). ONNX has no Log1p, and log(1 + x) would lose small x."""
    u = 1 + x
    is_one = u == 1
    if isinstance(x, float):
        return math.log1p(x) if x > -1 else math.nan
    return b.where(is_one, x, b.unary("log")(u) * (x / b.where(is_one, 1.0 + 0 * x, u - 1)))


def _atan2(b: Backend, y: Any, x: Any) -> Any:
    """The angle of (x, y), computed from atan: ONNX has no Atan2, and PyTorch's export of it loses NaN."""
    if isinstance(x, float) and isinstance(y, float):
        return math.atan2(y, x)
    zero = 0 * y if isinstance(x, float) else 0 * x
    x, y = x + zero, y + zero
    angle = b.unary("arctan")(y / x)
    left = angle + b.where(y < 0, zero - math.pi, zero + math.pi)
    vertical = b.where(y > 0, zero + math.pi / 2, b.where(y < 0, zero - math.pi / 2, zero))
    return b.where(x > 0, angle, b.where(x < 0, left, vertical)) + 0 * (x + y)


def _arcsinh(b: Backend, x: Any) -> Any:
    """Computed from log and sqrt, for the same reason. log1p keeps the precision of small arguments."""
    if isinstance(x, float):
        return math.asinh(x)
    a = b.unary("abs")(x)
    small = _log1p(b, a + a * (a / (1 + b.unary("sqrt")(1 + a * a))))
    positive = b.where(a < 1e8, small, b.unary("log")(a) + math.log(2))  # before the square overflows
    return b.where(x < 0, -positive, positive)


def _norm(b: Backend, *components: Any) -> Any:
    # not hypot, which ONNX does not have
    return _root(b, sum(component * component for component in components))


def _root(b: Backend, x: Any) -> Any:
    """The square root; NaN for a square that overflowed, where ONNX Runtime 1.20 returns NaN or infinity unpredictably."""
    if isinstance(x, float):
        return math.sqrt(x)
    return b.where(x < 3e38, b.unary("sqrt")(x), math.nan)


def _mass(b: Backend, px: Any, py: Any, pz: Any, energy: Any) -> Any:
    momentum = _norm(b, px, py, pz)
    squared = (energy - momentum) * (energy + momentum)
    root = _root(b, b.unary("abs")(squared))
    return _signed(b, root, squared)


def _signed(b: Backend, size: Any, sign: Any) -> Any:
    if isinstance(sign, float):
        return math.copysign(size, sign)
    return b.where(sign < 0, -size, size)


def _invariant_mass(  # noqa: PLR0913  two four-vectors, as the expression gives them
    b: Backend, pt1: Any, eta1: Any, phi1: Any, m1: Any, pt2: Any, eta2: Any, phi2: Any, m2: Any
) -> Any:
    """m^2 = m1^2 + m2^2 + 2 (mt1 mt2 cosh(dy) - pt1 pt2 cos(dphi)), written as a sum of non-negative terms.

    So nothing cancels for two close particles; in single precision, only noise would remain.
    """
    mt1, mt2 = _norm(b, pt1, m1), _norm(b, pt2, m2)
    y1, y2 = (_arcsinh(b, pt * b.unary("sinh")(eta) / mt) for pt, eta, mt in ((pt1, eta1, mt1), (pt2, eta2, mt2)))
    transverse = (m1 * m1 * pt2 * pt2 + m2 * m2 * mt1 * mt1) / (mt1 * mt2 + pt1 * pt2)
    sinh, sin = b.unary("sinh")((y1 - y2) / 2), b.unary("sin")(_delta_phi(b, phi1, phi2) / 2)
    product = transverse + 2 * mt1 * mt2 * sinh * sinh + 2 * pt1 * pt2 * sin * sin
    return _root(b, m1 * m1 + m2 * m2 + 2 * product)


@dataclass(frozen=True)
class Function:
    """A function of the language: its number of arguments, and its implementation for any backend.

    `lists`: what a function over the lists of its first argument gives; None for an elementwise function.
    `conditions`: how many of the first arguments are conditions.
    """

    arguments: int
    apply: Callable[..., Any]
    meaning: str
    lists: Literal["a number", "a list", None] = None
    is_condition: bool = False
    conditions: int = 0


def _elementary(name: str, meaning: str) -> Function:
    return Function(1, lambda b, x: b.unary(name)(x), meaning)


def _over_list(
    name: str, meaning: str, *, arguments: int = 1, lists: Literal["a number", "a list"] = "a number", is_condition: bool = False
) -> Function:
    return Function(arguments, lambda b, *values: b.lists[name](*values), meaning, lists, is_condition, int(is_condition))


FUNCTIONS: Mapping[str, Function] = {
    "abs": _elementary("abs", "absolute value"),
    "sqrt": _elementary("sqrt", "square root"),
    "exp": _elementary("exp", "exponential"),
    "log": _elementary("log", "natural logarithm"),
    "log10": Function(1, lambda b, x: b.unary("log")(x) * (1 / math.log(10)), "logarithm to base 10"),
    "log1p": Function(1, _log1p, "log(1 + x), precise for small x"),
    "sin": _elementary("sin", "sine"),
    "cos": _elementary("cos", "cosine"),
    "tan": _elementary("tan", "tangent"),
    "atan2": Function(2, _atan2, "angle of the point given by y, x; NaN if one is infinite"),
    "sinh": _elementary("sinh", "hyperbolic sine"),
    "cosh": _elementary("cosh", "hyperbolic cosine"),
    "tanh": _elementary("tanh", "hyperbolic tangent"),
    "floor": _elementary("floor", "largest integer not above x"),
    "isnan": Function(1, lambda b, x: x != x, "true where x is NaN", is_condition=True),
    "min": Function(2, _minimum, "the smaller of two"),
    "max": Function(2, _maximum, "the larger of two"),
    "clip": Function(3, lambda b, x, low, high: _minimum(b, _maximum(b, x, low), high), "x limited to [low, high]"),
    "where": Function(3, lambda b, c, x, y: b.where(c, *_arrays(b, x, y)), "x where the condition holds, else y", conditions=1),
    "delta_phi": Function(2, _delta_phi, "phi1 - phi2 in [-pi, pi)"),
    "delta_r": Function(4, _delta_r, "sqrt(delta_eta^2 + delta_phi^2) of (eta1, phi1, eta2, phi2)"),
    "px": Function(2, lambda b, pt, phi: pt * b.unary("cos")(phi), "of (pt, phi)"),
    "py": Function(2, lambda b, pt, phi: pt * b.unary("sin")(phi), "of (pt, phi)"),
    "pz": Function(2, lambda b, pt, eta: pt * b.unary("sinh")(eta), "of (pt, eta)"),
    "energy": Function(3, lambda b, pt, eta, mass: _norm(b, pt * b.unary("cosh")(eta), mass), "of (pt, eta, mass)"),
    "pt": Function(2, _norm, "of (px, py)"),
    "eta": Function(3, lambda b, px, py, pz: _arcsinh(b, pz / _norm(b, px, py)), "pseudorapidity of (px, py, pz)"),
    "phi": Function(2, lambda b, px, py: _atan2(b, py, px), "azimuth of (px, py), in [-pi, pi]"),
    "mass": Function(4, _mass, "of (px, py, pz, energy); negative for a space-like vector, as in ROOT"),
    "invariant_mass": Function(8, _invariant_mass, "of two particles, (pt1, eta1, phi1, mass1, pt2, eta2, phi2, mass2)"),
    "num": _over_list("num", "number of elements of each list"),
    "sum": _over_list("sum", "sum of each list, 0 for an empty one; of conditions, how many hold"),
    "any": _over_list("any", "true where the condition holds for an element of the list", is_condition=True),
    "all": _over_list("all", "true where the condition holds for all elements of the list", is_condition=True),
    "argmax": _over_list("argmax", "index of the largest element of each list, -1 for an empty one"),
    "first": _over_list("first", "first element of each list, NaN for an empty one"),
    "leading": _over_list("leading", "the first n elements of each list, of (x, n)", arguments=2, lists="a list"),
}
CONSTANTS = {"pi": math.pi}
# for an expression of constants only
NUMBERS: Backend = Backend(
    where=lambda condition, x, y: x if condition else y,
    number=float,
    real=float,
    is_condition=lambda x: isinstance(x, bool),
    compare=lambda compare, x, y: compare(x, y),
    remainder=lambda x, y: modulo(NUMBERS, x, y),
    elementary=np,
)
