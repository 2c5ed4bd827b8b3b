"""weaver's expressions in Cyclotrain's language. weaver runs them with `eval`; here `ast` parses them, and nothing runs them.

>>> Expressions({"part_pt": "np.hypot(part_px, part_py)"}).inlined("np.log(part_pt)")
'log(pt(part_px, part_py))'
"""

import ast
import difflib
import graphlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from cyclotrain.expressions.functions import CONSTANTS


class WeaverError(ValueError):
    """A part of a weaver data config cannot be converted; the message says where, and why."""


_MODULES = {"np", "numpy", "math", "ak", "awkward"}
_SAME = "abs sqrt exp log log10 log1p sin cos tan sinh cosh tanh floor isnan"
# The counterpart of each function of NumPy, math or awkward; a, b and c are its arguments.
_FUNCTIONS: Mapping[str, str] = {
    **{name: f"{name}(a)" for name in _SAME.split()},
    "absolute": "abs(a)",
    "fabs": "abs(a)",
    "hypot": "pt(a, b)",
    "arctan2": "atan2(a, b)",
    "atan2": "atan2(a, b)",
    "maximum": "max(a, b)",
    "minimum": "min(a, b)",
    "clip": "clip(a, b, c)",
    "where": "where(a, b, c)",
    "square": "a ** 2",
    "power": "a ** b",
    "pow": "a ** b",
    "sign": "where(a > 0, 1, where(a < 0, -1, 0 * a))",
    "nan_to_num": "where(isnan(a), 0, a)",
    "ones_like": "where(isnan(a), 1, 1)",
    "zeros_like": "where(isnan(a), 0, 0)",
    "logical_and": "a & b",
    "logical_or": "a | b",
    "logical_not": "~a",
    "to_numpy": "a",
    "num": "num(a)",
    "firsts": "first(a)",
}
# The same for functions over lists. weaver needs `axis=1` for them; without it they run over all events.
_OVER_LISTS: Mapping[str, str] = {
    "num": "num(a)",
    "firsts": "first(a)",
    "count": "num(a)",
    "sum": "sum(a)",
    "any": "any(a)",
    "all": "all(a)",
    "argmax": "argmax(a)",
    "max": "a[argmax(a)]",
    "min": "a[argmax(-a)]",
    "mean": "sum(a) / num(a)",
}
_OPERATORS: Mapping[type[ast.operator], str] = {
    ast.Add: "a + b",
    ast.Sub: "a - b",
    ast.Mult: "a * b",
    ast.Div: "a / b",
    ast.Pow: "a ** b",
    ast.Mod: "a % b",
    ast.FloorDiv: "floor(a / b)",
    ast.BitAnd: "a & b",
    ast.BitOr: "a | b",
}
# The components of weaver's four-vectors, by the function that makes the vector; a, b, c and d are its arguments.
_POLAR = {"pt": "a", "eta": "b", "phi": "c", "px": "px(a, c)", "py": "py(a, c)", "pz": "pz(a, b)"}
_VECTORS: Mapping[str, Mapping[str, str]] = {
    "_p4_from_pxpypze": {
        "px": "a", "py": "b", "pz": "c", "energy": "d", "pt": "pt(a, b)", "eta": "eta(a, b, c)", "phi": "phi(a, b)",
        "mass": "mass(a, b, c, d)",
    },
    "_p4_from_ptetaphie": {**_POLAR, "energy": "d", "mass": "mass(px(a, c), py(a, c), pz(a, b), d)"},
    "_p4_from_ptetaphim": {**_POLAR, "energy": "energy(a, b, d)", "mass": "d"},
}  # fmt: skip
_CONDITIONS = {"isnan", "any", "all"}


def quoted(branch: str) -> str:
    """The name of a branch, in backticks if it is not a Python identifier."""
    return branch if branch.isidentifier() else f"`{branch}`"


@dataclass
class Expressions:
    """Translates expressions over branches and `new_variables`; `renamed`: weaver's `branch_magic`, replaced parts of names."""

    variables: Mapping[str, str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    as_conditions: dict[str, None] = field(default_factory=dict)  # numbers that were used as conditions

    def __post_init__(self) -> None:
        self.variables = {name: text for name, text in self.variables.items() if text.strip() != name}  # as weaver does
        try:
            graphlib.TopologicalSorter(
                {name: _names(text) & set(self.variables) for name, text in self.variables.items()}
            ).prepare()
        except graphlib.CycleError as error:
            raise WeaverError(f"new_variables: defined by themselves: {' -> '.join(error.args[1])}") from None

    def inlined(self, text: str) -> str:
        """The expression over branches only; raises WeaverError if a part has no counterpart."""
        return ast.unparse(_Translation(self, text, inline=True).node)

    def feature(self, name: str) -> str:
        """The new variable or else the branch of this name, as an expression over branches only."""
        return ast.unparse(self._feature(name))

    def scaled(self, name: str, *, center: float, scale: float, low: float | None, high: float | None) -> str:
        """A feature after weaver's manual standardisation: (x - center) * scale, limited to [low, high]."""
        pattern = "a" if center == 0 else f"a - {center!r}" if center > 0 else f"a + {-center!r}"
        pattern = pattern if scale == 1 else f"({pattern}) * {scale!r}"
        if low is not None and high is not None:
            pattern = f"clip({pattern}, {low!r}, {high!r})"
        elif low is not None or high is not None:
            pattern = f"max({pattern}, {low!r})" if high is None else f"min({pattern}, {high!r})"
        return ast.unparse(_fill(pattern, self._feature(name)))

    def _feature(self, name: str) -> ast.expr:
        if name in self.variables:
            return _Translation(self, self.variables[name], inline=True, inside=(name,)).node
        return ast.Name(self.branch(name))

    def branch(self, name: str) -> str:
        """The branch that weaver reads by this name, quoted for an expression."""
        return quoted(self.renamed_branch(name))

    def renamed_branch(self, name: str) -> str:
        """The branch that weaver reads by this name."""
        for part, replacement in self.renamed.items():
            name = name.replace(part, replacement)
        if name in CONSTANTS or name == "aux_training_":
            raise WeaverError(f"'{name}' cannot be a branch in Cyclotrain")
        return name

    def named(self, text: str) -> str:
        """The expression with new variables by their names; `define` has them."""
        return ast.unparse(_Translation(self, text, inline=False).node)

    def condition(self, text: str) -> str:
        """The same as a condition: in weaver any number but 0 is true."""
        translation = _Translation(self, text, inline=False)
        return ast.unparse(translation.condition(translation.node))

    def used(self, text: str) -> list[str]:
        """The new variables in an expression, each after those that it needs; four-vectors are not among them."""
        used: dict[str, None] = {}
        for node in ast.walk(_Translation(self, text, inline=False).node):
            if isinstance(node, ast.Name) and node.id in self.variables:
                used |= dict.fromkeys([*self.used(self.variables[node.id]), node.id])
        return list(used)

    def ones_like(self, variable: str) -> str | None:
        """The branch of a mask `ak.ones_like(branch)`, or None for anything else."""
        if variable in self.variables:
            match _parse(self.variables[variable]):
                case ast.Call(func=ast.Attribute(attr="ones_like"), args=[ast.Name(id=branch)]):
                    return branch
        return None


class _Translation:
    """One expression; `node` is the same in Cyclotrain's language.

    `inline`: write new variables out. `inside`: the new variables that are being written out, the innermost last.
    """

    def __init__(self, expressions: Expressions, text: str, *, inline: bool, inside: tuple[str, ...] = ()) -> None:
        self._expressions, self._text, self._inline, self._inside = expressions, str(text), inline, inside
        self.node = self._translate(_parse(self._text))

    def condition(self, node: ast.expr) -> ast.expr:
        """A translated part, as a condition."""
        match node:
            case ast.Compare() | ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.UnaryOp(op=ast.Invert()):
                return node
            case ast.Call(func=ast.Name(id=name)) if name in _CONDITIONS:
                return node
            case ast.Name(id=name) if name in self._expressions.variables:
                variable = self._variable(name)
                return node if variable is self.condition(variable) else _fill("a != 0", node)
        self._expressions.as_conditions[ast.unparse(node)] = None
        return _fill("a != 0", node)

    def _variable(self, name: str) -> ast.expr:
        """A new variable, translated."""
        text = self._expressions.variables[name]
        return _Translation(self._expressions, text, inline=self._inline, inside=(*self._inside, name)).node

    def _translate(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.Constant(value=bool() | int() | float()):
                return node
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
                if isinstance(left, ast.Constant) or isinstance(right, ast.Constant):
                    raise self._error("'&' and '|' on bits have no counterpart; in Cyclotrain they join conditions", node)
                parts = [self.condition(self._translate(part)) for part in (left, right)]
                return _fill(_OPERATORS[type(op)], *parts)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _fill(_OPERATORS[type(op)], self._translate(left), self._translate(right))
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return _fill("~a", self.condition(self._translate(operand)))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                return ast.UnaryOp(op, self._translate(operand))
            case ast.Compare(left=left, ops=ops, comparators=right) if not any(isinstance(op, ast.In | ast.Is) for op in ops):
                return ast.Compare(self._translate(left), ops, list(map(self._translate, right)))
            case ast.Attribute(attr="pi", value=ast.Name(id=module)) if module in _MODULES:
                return ast.Name("pi")
            case ast.Attribute(attr=component, value=vector):
                return self._component(node, vector, component)
            case ast.Subscript(value=lists, slice=ast.Tuple(elts=[ast.Slice(lower=None, upper=None, step=None), index])):
                return self._in_each_event(node, lists, index)
            case ast.Subscript(value=lists, slice=ast.Compare() | ast.BinOp() | ast.UnaryOp(op=ast.Invert()) as mask):
                return _fill("a[b]", self._translate(lists), self._translate(mask))
            case ast.Call(func=function, args=arguments, keywords=keywords):
                return self._call(node, function, arguments, keywords)
        raise self._error(f"'{ast.unparse(node)}' has no counterpart", node)

    def _name(self, name: str) -> ast.expr:
        if name in self._expressions.variables:
            return self._variable(name) if self._inline else ast.Name(name)
        return ast.Name(self._expressions.branch(name))

    def _call(self, node: ast.expr, function: ast.expr, arguments: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
        name = ast.unparse(function)
        root, _, last = name.rpartition(".")
        axis = [keyword.value for keyword in keywords if keyword.arg == "axis"]
        is_plain = len(axis) == len(keywords)
        if last in _OVER_LISTS and len(arguments) == 2:
            arguments, axis = arguments[:1], arguments[1:]
        pattern = None
        if root.partition(".")[0] in _MODULES and is_plain and (not axis or ast.unparse(axis[0]) in ("1", "-1")):
            pattern = (_OVER_LISTS if axis else _FUNCTIONS).get(last)
        elif name == "abs" and is_plain:  # the only built-in of Python that takes arrays
            pattern = "abs(a)"
        if pattern is None or len(arguments) != len(_names(pattern) & {*"abc"}):
            known = [*_FUNCTIONS, *_OVER_LISTS]
            near = difflib.get_close_matches(last, known, n=2, cutoff=0.75)
            hint = " with these arguments" if last in known else f" (similar names: {', '.join(near)})" if near else ""
            raise self._error(f"'{name}' has no counterpart{hint}", node)
        parts = list(map(self._translate, arguments))
        if last in ("where", "any", "all") or last.startswith("logical_"):
            n_conditions = 1 if last == "where" else len(parts)
            parts[:n_conditions] = map(self.condition, parts[:n_conditions])
        return _fill(pattern, *parts)

    def _component(self, node: ast.expr, vector: ast.expr, component: str) -> ast.expr:
        """A component of a four-vector, such as `p4.px` with the new variable `p4: _p4_from_ptetaphie(...)`."""
        if isinstance(vector, ast.Name) and vector.id in self._expressions.variables:
            vector = _parse(self._expressions.variables[vector.id])
        match vector:
            case ast.Call(func=ast.Name(id=name), args=[_, _, _, _] as parts) if component in _VECTORS.get(name, {}):
                return _fill(_VECTORS[name][component], *map(self._translate, parts))
        raise self._error(f"'{ast.unparse(node)}' has no counterpart", node)

    def _in_each_event(self, node: ast.expr, lists: ast.expr, index: ast.expr) -> ast.expr:
        """`x[:, 0]`, one element of each list, and `x[:, :n]`, the first n."""
        match index:
            case ast.Constant(value=int()):
                return ast.Subscript(self._translate(lists), index)
            case ast.Slice(lower=None, upper=ast.Constant(value=int()) as upper, step=None):
                return _fill("leading(a, b)", self._translate(lists), upper)
        raise self._error(f"'{ast.unparse(node)}' has no counterpart", node)

    def _error(self, message: str, node: ast.expr) -> WeaverError:
        inside = f"new_variables.{self._inside[-1]}: " if self._inside else ""
        return WeaverError(f"{inside}{message}, in '{self._text.strip()}' at position {node.col_offset + 1}")


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(str(text).strip(), mode="eval").body
    except SyntaxError as error:
        raise WeaverError(f"not an expression ({error.msg}): {text}") from None


def _names(text: str) -> set[str]:
    """The names in an expression; none if it cannot be parsed, which is an error where it is used."""
    try:
        return {node.id for node in ast.walk(ast.parse(text.strip(), mode="eval")) if isinstance(node, ast.Name)}
    except SyntaxError:
        return set()


def _fill(pattern: str, *parts: ast.expr) -> ast.expr:
    """The pattern with a, b, c and d replaced by the parts."""
    names = dict(zip("abcd", parts, strict=False))

    class Filling(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:  # a name that ast prescribes
            return names.get(node.id, node)

    return Filling().visit(ast.parse(pattern, mode="eval").body)
