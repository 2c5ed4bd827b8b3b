"""The one expression language of Cyclotrain: parsed by `ast`, never by `eval`, evaluated on awkward arrays and on tensors.

    >>> Expression("log(pf_pt / jet_pt)").branches
    ('pf_pt', 'jet_pt')

A branch whose name is not a Python name stands in backticks: `` `jet1_b-tag` > 0 ``.
Operators: `+ - * / **`, comparisons (also chained), `& | ~` on booleans. Functions: see `FUNCTIONS`. Constant: `pi`.
Both backends follow one set of rules, so that the sample and the model agree on what a text means:
division is true division, booleans are 0 and 1 in arithmetic, NaN goes through `min`, `max` and `clip`.
"""

import ast
import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class ExpressionError(ValueError):
    """An expression that the language does not have; the message shows the text and the position."""


@dataclass(frozen=True)
class Backend:
    """The few operations that awkward (in `ntuples`) and torch (in `features`) spell differently; the rest is shared."""

    where: Callable[[Any, Any, Any], Any]
    number: Callable[[Any], Any]
    elementary: Any  # the module that holds log, exp, sqrt, ...

    def unary(self, name: str) -> Callable[[Any], Any]:
        """The elementwise function `name`; plain numbers (constants of an expression) are computed by NumPy."""
        on_array, on_number = getattr(self.elementary, name), getattr(np, name)
        return lambda x: float(on_number(x)) if isinstance(x, float) else on_array(self.number(x))


def _minimum(b: Backend, x: Any, y: Any) -> Any:
    # Written with comparisons: ONNX Runtime's own Min and Max treat NaN differently from release to release.
    if isinstance(x, float) and isinstance(y, float):
        return min(x, y)
    return b.where((x < y) | (x != x), *_arrays(b, x, y))


def _maximum(b: Backend, x: Any, y: Any) -> Any:
    if isinstance(x, float) and isinstance(y, float):
        return max(x, y)
    return b.where((x > y) | (x != x), *_arrays(b, x, y))


def _arrays(b: Backend, x: Any, y: Any) -> tuple[Any, Any]:
    """Both alternatives of a choice as numbers of one type."""
    return b.number(x), b.number(y)


def _delta_phi(b: Backend, phi1: Any, phi2: Any) -> Any:
    """phi1 - phi2 in [-pi, pi); only exactly rounded operations, so that runtimes agree for any argument."""
    difference = phi1 - phi2
    return difference - 2 * math.pi * b.unary("floor")((difference + math.pi) / (2 * math.pi))


def _delta_r(b: Backend, eta1: Any, phi1: Any, eta2: Any, phi2: Any) -> Any:
    delta_eta, delta_phi = eta1 - eta2, _delta_phi(b, phi1, phi2)
    # not hypot: it has no ONNX function
    return b.unary("sqrt")(delta_eta * delta_eta + delta_phi * delta_phi)


def _log1p(b: Backend, x: Any) -> Any:
    """log(1 + x) to full precision with log alone (Goldberg 1991, theorem 4): ONNX has no Log1p and would lose small x."""
    u = 1 + x
    is_one = u == 1
    if isinstance(x, float):
        return math.log1p(x) if x > -1 else math.nan
    return b.where(is_one, x, b.unary("log")(u) * (x / b.where(is_one, 1.0 + 0 * x, u - 1)))


def _atan2(b: Backend, y: Any, x: Any) -> Any:
    """The angle of (x, y) by atan alone: ONNX has no Atan2, and what PyTorch exports for it loses NaN."""
    if isinstance(x, float) and isinstance(y, float):
        return math.atan2(y, x)
    zero = 0 * y if isinstance(x, float) else 0 * x
    x, y = x + zero, y + zero
    angle = b.unary("arctan")(y / x)
    left = angle + b.where(y < 0, zero - math.pi, zero + math.pi)
    vertical = b.where(y > 0, zero + math.pi / 2, b.where(y < 0, zero - math.pi / 2, zero))
    return b.where(x > 0, angle, b.where(x < 0, left, vertical)) + 0 * (x + y)


@dataclass(frozen=True)
class Function:
    """A function of the language: its number of arguments and what it does on a backend."""

    arguments: int
    apply: Callable[..., Any]
    meaning: str


def _elementary(name: str, meaning: str, also: str | None = None) -> Function:
    return Function(1, lambda b, x: b.unary(also or name)(x), meaning)


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
    "isnan": Function(1, lambda b, x: x != x, "true where x is NaN"),
    "min": Function(2, _minimum, "the smaller of two"),
    "max": Function(2, _maximum, "the larger of two"),
    "clip": Function(3, lambda b, x, low, high: _minimum(b, _maximum(b, x, low), high), "x limited to [low, high]"),
    "where": Function(3, lambda b, c, x, y: b.where(c, *_arrays(b, x, y)), "x where the condition holds, else y"),
    "delta_phi": Function(2, _delta_phi, "phi1 - phi2 in [-pi, pi)"),
    "delta_r": Function(4, _delta_r, "sqrt(delta_eta^2 + delta_phi^2) of (eta1, phi1, eta2, phi2)"),
}
CONSTANTS = {"pi": math.pi}

_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_LOGIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {ast.BitAnd: operator.and_, ast.BitOr: operator.or_}
_COMPARISON: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MAX_LENGTH = 10_000


@dataclass(frozen=True)
class Expression:
    """An expression, checked when it is made.

    Raises ExpressionError for anything outside the language, naming the text and the position.
    """

    text: str
    branches: tuple[str, ...] = field(init=False)
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_LENGTH:
            raise ExpressionError(f"expression of {len(self.text)} characters; at most {_MAX_LENGTH} are read")
        readable, quoted = _without_backticks(self.text.strip())
        try:
            tree = ast.parse(readable, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            column = (getattr(error, "offset", None) or 1) - 1
            raise self._error(f"syntax error: {getattr(error, 'msg', error)}", column) from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = quoted.get(node.id, node.id)
        names: dict[str, None] = {}
        self._check(tree, names)
        object.__setattr__(self, "_tree", tree)
        object.__setattr__(self, "branches", tuple(names))

    def __call__(self, values: Mapping[str, Any], backend: Backend) -> Any:
        """The value for `values`, a mapping of branch name to awkward array or tensor (scalars [B, 1], sets [B, L])."""
        return self._evaluate(self._tree, values, backend)

    def _error(self, message: str, column: int) -> ExpressionError:
        text = self.text.strip()
        return ExpressionError(f"{message}, at position {column + 1} of\n    {text}\n    {' ' * column}^")

    def _check(self, node: ast.expr, names: dict[str, None]) -> None:
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return
            case ast.Name(id=name):
                if name in FUNCTIONS:
                    raise self._error(f"function '{name}' is used without its arguments", node.col_offset)
                if name not in CONSTANTS:
                    names[name] = None
                return
            case ast.BinOp(left=left, right=right) if type(node.op) in _ARITHMETIC:
                parts = [left, right]
            case ast.BinOp(left=left, right=right) if type(node.op) in _LOGIC:
                for part in (left, right):
                    if _is_number(part):
                        message = "'&' and '|' join conditions, not numbers; put each comparison in brackets"
                        raise self._error(message, part.col_offset)
                parts = [left, right]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Invert(), operand=operand):
                parts = [operand]
            case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARISON for op in ops):
                parts = [left, *comparators]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                parts = self._check_call(node, name, arguments)
            case ast.BoolOp():
                raise self._error("write '&' and '|' with brackets instead of 'and' and 'or'", node.col_offset)
            case ast.UnaryOp(op=ast.Not()):
                raise self._error("write '~' instead of 'not'", node.col_offset)
            case _:
                raise self._error(f"{_describe(node)} is not part of the expression language", node.col_offset)
        for part in parts:
            self._check(part, names)

    def _check_call(self, node: ast.Call, name: str, arguments: list[ast.expr]) -> list[ast.expr]:
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(FUNCTIONS)}"
            raise self._error(f"unknown function '{name}' ({hint})", node.col_offset)
        expected = FUNCTIONS[name].arguments
        if len(arguments) != expected:
            raise self._error(f"'{name}' takes {expected} arguments, not {len(arguments)}", node.col_offset)
        return arguments

    def _evaluate(self, node: ast.expr, values: Mapping[str, Any], backend: Backend) -> Any:
        def value(part: ast.expr) -> Any:
            return self._evaluate(part, values, backend)

        match node:
            case ast.Constant(value=constant):
                return float(constant)  # type: ignore[arg-type]  # checked in _check
            case ast.Name(id=name):
                return CONSTANTS[name] if name in CONSTANTS else values[name]
            case ast.BinOp(left=left, op=op, right=right):
                if type(op) in _LOGIC:
                    return _LOGIC[type(op)](value(left), value(right))
                return _ARITHMETIC[type(op)](backend.number(value(left)), backend.number(value(right)))
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return ~value(operand)
            case ast.UnaryOp(op=op, operand=operand):
                number = backend.number(value(operand))
                return -number if isinstance(op, ast.USub) else number
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                operands = [value(left), *map(value, comparators)]
                results = [_COMPARISON[type(op)](a, b) for op, a, b in zip(ops, operands, operands[1:], strict=False)]
                result = results[0]
                for further in results[1:]:
                    result = result & further
                return result
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return FUNCTIONS[name].apply(backend, *map(value, arguments))
        raise AssertionError(f"{ast.dump(node)} passed the check")


def _without_backticks(text: str) -> tuple[str, dict[str, str]]:
    """The text with each name in backticks as a plain name of the same length, and what these stand for."""
    quoted: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        name = f"_quoted{len(quoted)}".ljust(len(match[0]), "_")
        quoted[name] = match[1]
        return name

    return re.sub(r"`([^`]+)`", plain, text), quoted


def _is_number(node: ast.expr) -> bool:
    """True where the text alone tells that a part is a number, as in `pt > 30 & eta < 2`, read as `pt > (30 & eta) < 2`."""
    match node:
        case ast.Constant(value=value):
            return not isinstance(value, bool)
        case ast.BinOp(op=op):
            return type(op) in _ARITHMETIC
        case ast.UnaryOp(op=op):
            return not isinstance(op, ast.Invert)
        case ast.Call(func=ast.Name(id=name)):
            return name not in ("isnan", "where")
        case _:
            return False


def _describe(node: ast.expr) -> str:
    match node:
        case ast.Attribute():
            return "an attribute ('.')"
        case ast.Subscript():
            return "an index ('[...]')"
        case ast.Constant(value=value):
            return f"the constant {value!r}"
        case ast.Call(keywords=[_, *_]):
            return "a keyword argument"
        case ast.BinOp(op=op) | ast.UnaryOp(op=op):
            return f"the operator {type(op).__name__}"
        case _:
            return type(node).__name__
