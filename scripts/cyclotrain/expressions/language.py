"""The expression language of Cyclotrain: parsed with `ast`, never with `eval`; evaluated on awkward arrays and on tensors.

    >>> Expression("log(pf_pt / jet_pt)").branches
    ('pf_pt', 'jet_pt')

Write a branch whose name is not a Python name in backticks: `` `jet1_b-tag` > 0 ``.
Operators: `+ - * / ** %`, comparisons (also chained), `& | ~` on booleans. Functions: see `FUNCTIONS`. Constant: `pi`.
Only at ingest, for lists: functions over a list, `sum(jet_pt)`, and indices, `jet_pt[muon_jetIdx]`, other than numbers, `x[0]`.
Both backends follow the same rules, so that a text means the same for the sample and for the model:
division is true division, `%` has the sign of the divisor, booleans are 0 and 1 in arithmetic, `min`, `max` and `clip` propagate
NaN. Constants are finite numbers in double precision. Integer branches are compared with whole numbers exactly.
"""

import ast
import difflib
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cyclotrain.expressions.functions import CONSTANTS, FUNCTIONS, NUMBERS, Backend
from cyclotrain.expressions.names import Readable


class ExpressionError(ValueError):
    """An expression outside the language. The message shows the text and the position."""


_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_OPERATORS = (*_ARITHMETIC, ast.Mod)
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
    """An expression, checked on construction.

    Raises ExpressionError for anything outside the language, naming the text and the position.
    """

    text: str
    branches: tuple[str, ...] = field(init=False)
    _tree: ast.expr = field(init=False, repr=False, compare=False)
    _readable: Readable = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_LENGTH:
            raise ExpressionError(f"the expression has {len(self.text)} characters; at most {_MAX_LENGTH} are allowed")
        object.__setattr__(self, "_readable", Readable.from_text(self.text.strip()))
        object.__setattr__(self, "_tree", self._parse())
        names: dict[str, None] = {}
        self._check(self._tree, names)
        self._check_constants(self._tree, is_compared=False)
        object.__setattr__(self, "branches", tuple(names))

    def __call__(self, values: Mapping[str, Any], backend: Backend) -> Any:
        """Evaluate on `values`: for each branch, a NumPy or awkward array, or a tensor (scalars [B, 1], sets [B, L])."""
        return self._evaluate(self._tree, values, backend)

    @property
    def is_condition(self) -> bool:
        """Whether the text shows that the value is true or false. False for a bare branch, which may be a number."""
        return _is_condition(self._tree)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs of the graph for a feature, in order: the branches, and `x[0]` for an element of the branch x."""
        return tuple(dict.fromkeys(_inputs(self._tree)))

    def check_in_graph(self) -> None:
        """Raise ExpressionError for what the graph lacks (functions over lists, indices), and as `check_float32`."""
        for node in ast.walk(self._tree):
            match node:
                case ast.Call(func=ast.Name(id=name)) if FUNCTIONS[name].lists:
                    raise self._error(f"'{name}' is for selection, define, weight and label, not for features", node.col_offset)
                case ast.Subscript() if not _element(node):
                    message = "features have no index but a number, x[0]; make the branch a set, with 'max_length' and 'valid'"
                    raise self._error(message, node.col_offset)
        self.check_float32()

    def check_float32(self) -> None:
        """Raise ExpressionError for what does not work where all branches are float32, as in the graph and in a shard.

        That is a branch as a condition, and equality with a whole number that float32 does not hold.
        """
        for node in ast.walk(self._tree):
            for part in _conditions(node):
                if isinstance(part, ast.Name):
                    name = ast.get_source_segment(self._readable.text, part)
                    original = f"`{part.id}`" if name in self._readable.names else part.id
                    message = f"the model reads all branches as float32, so '{part.id}' is a number here; write {original} != 0"
                    raise self._error(message, part.col_offset)
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                for part in (node.left, *node.comparators):
                    if (number := _whole_number(part)) is not None and float(np.float32(number)) != number:
                        raise self._error(f"the model reads all branches as float32, which cannot be {number}", part.col_offset)

    def depth(self, depths: Mapping[str, int]) -> int:
        """The nesting depth of the value, given the depths of the branches: 0 for one number, 1 for a list.

        Raises ExpressionError for a function over lists or an index that is applied to a number.
        """
        return self._depth(self._tree, depths)

    def _depth(self, node: ast.expr, depths: Mapping[str, int]) -> int:
        match node:
            case ast.Name(id=name):
                return 0 if name in CONSTANTS else depths[name]
            case ast.Call(func=ast.Name(id=name), args=[argument, *_]) if FUNCTIONS[name].lists:
                if not (depth := self._depth(argument, depths)):
                    raise self._error(f"'{name}' needs a list, and this is one number", argument.col_offset)
                return depth - (FUNCTIONS[name].lists == "a number")
            case ast.Subscript(value=indexed, slice=index):
                depth, index_depth = self._depth(indexed, depths), self._depth(index, depths)
                kinds = ("one number", "a list", "a list of lists")
                if depth != 1:
                    raise self._error(f"only a list of numbers has an index; this is {kinds[depth]}", indexed.col_offset)
                if index_depth > 1:
                    raise self._error(f"an index is a number or a list; this is {kinds[index_depth]}", index.col_offset)
                if not index_depth and _is_condition(index):
                    message = "this is one condition per entry, which cannot choose elements of a list"
                    raise self._error(message, index.col_offset)
                return index_depth
        return max((self._depth(part, depths) for part in _operands(node)), default=0)

    def _error(self, message: str, column: int) -> ExpressionError:
        text, column = self.text.strip(), self._readable.column(column)
        return ExpressionError(f"{message}, at position {column + 1} of\n    {text}\n    {' ' * column}^")

    def _parse(self) -> ast.expr:
        try:
            tree = ast.parse(self._readable.text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            if word := self._readable.reserved():
                message = f"syntax error: '{word[0]}' is a word of Python; write a branch of this name in backticks: `{word[0]}`"
                raise self._error(message, word.start()) from None
            column = (getattr(error, "offset", None) or 1) - 1
            raise self._error(f"syntax error: {getattr(error, 'msg', error)}", column) from None
        if constant := next((name for name in self._readable.names.values() if name in CONSTANTS), None):
            raise self._error(f"'{constant}' is a constant; a branch of this name cannot be used", 0)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = self._readable.names.get(node.id, node.id)
        return tree

    def _check_constants(self, node: ast.expr, *, is_compared: bool) -> None:
        """Raise ExpressionError for a part without branches that is no finite real number, or that is rounded.

        Only comparisons (`is_compared`) have whole numbers beyond the precision of double.
        """
        if _is_constant(node):
            self._check_constant(node, is_compared=is_compared)
        for part in _operands(node):
            has_sign = isinstance(node, ast.UnaryOp)
            self._check_constants(part, is_compared=isinstance(node, ast.Compare) or (is_compared and has_sign))

    def _check_constant(self, node: ast.expr, *, is_compared: bool) -> None:
        text = ast.get_source_segment(self._readable.text, node)
        try:
            with np.errstate(all="ignore"):
                value = self._evaluate(node, {}, NUMBERS)
        except (ArithmeticError, ValueError, TypeError) as error:
            raise self._error(f"'{text}' is no finite number ({error.args[-1]})", node.col_offset) from None
        if isinstance(value, complex) or not math.isfinite(value):
            raise self._error(f"'{text}' is no finite number ({value})", node.col_offset)
        whole = _whole_number(node)
        if whole is not None and whole != value and not is_compared:
            message = f"double precision rounds {text}; a whole number of this size can only be compared with a branch"
            raise self._error(message, node.col_offset)

    def _check(self, node: ast.expr, names: dict[str, None]) -> None:
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return
            case ast.Name(id=name):
                if name not in CONSTANTS:
                    names[name] = None
                return
            case ast.BinOp(left=left, right=right) if type(node.op) in _OPERATORS:
                parts = [left, right]
            case ast.BinOp(left=left, right=right) if type(node.op) in _LOGIC:
                for part in (left, right):
                    if _is_number(part):
                        message = "'&' and '|' combine conditions, not numbers; put each comparison in brackets"
                        raise self._error(message, part.col_offset)
                parts = [left, right]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Invert(), operand=operand):
                parts = [operand]
            case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARISON for op in ops):
                parts = [left, *comparators]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                parts = self._check_call(node, name, arguments)
            case ast.Subscript(value=indexed, slice=ast.expr() as index) if not isinstance(index, (ast.Slice, ast.Tuple)):
                parts = [indexed, index]
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
            hint = f"did you mean {' or '.join(near)}?" if near else f"the functions are {', '.join(FUNCTIONS)}"
            raise self._error(f"unknown function '{name}' ({hint})", node.col_offset)
        expected = FUNCTIONS[name].arguments
        if len(arguments) != expected:
            raise self._error(f"'{name}' takes {expected} argument{'s' * (expected > 1)}, not {len(arguments)}", node.col_offset)
        if name == "leading" and not (isinstance(n := arguments[1], ast.Constant) and type(n.value) is int and n.value > 0):
            raise self._error("the second argument of 'leading' must be a positive whole number", arguments[1].col_offset)
        return arguments

    def _evaluate(self, node: ast.expr, values: Mapping[str, Any], backend: Backend) -> Any:
        def value(part: ast.expr) -> Any:
            return self._evaluate(part, values, backend)

        def condition(part: ast.expr) -> Any:
            result = value(part)
            if not backend.is_condition(result):
                message = "this must be a condition, and is a number; compare it with something, in brackets"
                raise self._error(message, part.col_offset)
            return result

        match node:
            case ast.Constant(value=constant):
                return float(constant)  # type: ignore[arg-type]  # checked in _check
            case ast.Name(id=name):
                return CONSTANTS[name] if name in CONSTANTS else values[name]
            case ast.BinOp(left=left, op=op, right=right):
                if type(op) in _LOGIC:
                    return _LOGIC[type(op)](condition(left), condition(right))
                if isinstance(op, ast.Mod):
                    return backend.remainder(value(left), value(right))
                return _ARITHMETIC[type(op)](backend.number(value(left)), backend.number(value(right)))
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                result = condition(operand)
                return not result if isinstance(result, bool) else ~result
            case ast.UnaryOp(op=op, operand=operand):
                number = backend.number(value(operand))
                return -number if isinstance(op, ast.USub) else number
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                parts = [left, *comparators]
                operands = [value(part) if (whole := _whole_number(part)) is None else whole for part in parts]
                pairs = zip(ops, operands, operands[1:], strict=False)
                results = [backend.compare(_COMPARISON[type(op)], a, b) for op, a, b in pairs]
                result = results[0]
                for further in results[1:]:
                    result = result & further
                return result
            case ast.Subscript(value=indexed, slice=index):
                if (element := _element(node)) in values:
                    return values[element]  # type: ignore[index]  # not None, which is no name
                return backend.lists["[]"](value(indexed), value(index))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                function = FUNCTIONS[name]
                conditions, others = arguments[: function.conditions], map(value, arguments[function.conditions :])
                return function.apply(
                    backend, *map(condition, conditions), *(others if function.lists else map(backend.real, others))
                )
        raise AssertionError(f"{ast.dump(node)} passed the check")


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    """The parts of a node that have values."""
    function_name = node.func if isinstance(node, ast.Call) else None
    return (part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr) and part is not function_name)


def _is_constant(node: ast.expr) -> bool:
    """Whether a part has no branch and nothing over lists, which `depth` refuses for a constant."""
    match node:
        case ast.Name(id=name):
            return name in CONSTANTS
        case ast.Subscript():
            return False
        case ast.Call(func=ast.Name(id=name)) if FUNCTIONS[name].lists:
            return False
    return all(map(_is_constant, _operands(node)))


def _inputs(node: ast.expr) -> Iterator[str]:
    if element := _element(node):
        yield element
    elif isinstance(node, ast.Name) and node.id not in CONSTANTS:
        yield node.id
    else:
        for part in _operands(node):
            yield from _inputs(part)


def _element(node: ast.expr) -> str | None:
    """`x[0]` for an element of a branch by its number; None for anything else."""
    match node:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=int() as index)) if type(index) is int:
            return f"{name}[{index}]"
        case _:
            return None


def _conditions(node: ast.AST) -> list[ast.expr]:
    """The parts of a node that must be conditions."""
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _LOGIC:
            return [left, right]
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return [operand]
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return arguments[: FUNCTIONS[name].conditions]
        case _:
            return []


def _whole_number(node: ast.expr) -> int | None:
    """The value of a whole number such as 5 or -5, as it is written."""
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=ast.Constant(value=int() as value)) if type(value) is int:
            return -value if isinstance(op, ast.USub) else value
        case _:
            return None


def _is_number(node: ast.expr) -> bool:
    """Whether the text shows that a part is a number, as in `pt > 30 & eta < 2`, which Python reads as `pt > (30 & eta) < 2`."""
    match node:
        case ast.Constant(value=value):
            return not isinstance(value, bool)
        case ast.BinOp(op=op):
            return type(op) in _OPERATORS
        case ast.UnaryOp(op=op):
            return not isinstance(op, ast.Invert)
        case ast.Call(func=ast.Name(id=name)):
            return name in FUNCTIONS and not FUNCTIONS[name].is_condition
        case _:
            return False


def _is_condition(node: ast.expr) -> bool:
    """Whether the text shows that a part is true or false."""
    match node:
        case ast.BinOp(op=op) | ast.UnaryOp(op=op):
            return type(op) in _LOGIC or isinstance(op, ast.Invert)
        case ast.Call(func=ast.Name(id=name)):
            return name in FUNCTIONS and FUNCTIONS[name].is_condition
        case _:
            return isinstance(node, ast.Compare)


def _describe(node: ast.expr) -> str:
    match node:
        case ast.Attribute():
            return "an attribute ('.')"
        case ast.Subscript():
            return "a slice ('[a:b]')"
        case ast.Constant(value=value):
            return f"the constant {value!r}"
        case ast.Call(keywords=[_, *_]):
            return "a keyword argument"
        case ast.BinOp(op=op) | ast.UnaryOp(op=op):
            return f"the operator {type(op).__name__}"
        case ast.IfExp():
            return "'if' (write where(condition, x, y))"
        case _:
            return type(node).__name__
