import itertools
import math
import re

import awkward as ak
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclotrain.expressions import Expression, ExpressionError
from cyclotrain.expressions.awkward_backend import AWKWARD
from cyclotrain.expressions.functions import FUNCTIONS
from cyclotrain.networks.features import TORCH

IN_GRAPH = {name: function for name, function in FUNCTIONS.items() if not function.lists}
CALLS = {
    **{name: f"{name}(x)" for name, function in IN_GRAPH.items() if function.arguments == 1},
    **{name: f"{name}(x, y)" for name, function in IN_GRAPH.items() if function.arguments == 2},
    "clip": "clip(x, -1, y)",
    "where": "where(x > y, x, y)",
    "delta_r": "delta_r(x, y, y, x)",
    # with realistic angles and masses, because energies are squared and sinh grows fast
    "energy": "energy(abs(x), y / 20, 5)",
    "eta": "eta(x + 60, y, x * y)",
    "mass": "mass(1, x, y, abs(x) + abs(y) + 2)",
    "invariant_mass": "invariant_mass(abs(x) + 1, y / 20, x, 4, abs(y) + 1, x / 20, y, 0.1)",
}
OTHERS = [
    "x + y * 2 - -x / 3",
    "x ** 2",
    "-1 < x < y",
    "(x > 0) & ~(y > 0) | (x == y)",
    "(x > 0) + (y > 0)",
    "pi * (x != y)",
    "log10(100) * x",
]
values = st.lists(
    st.tuples(*[st.floats(-50, 50, width=32) | st.sampled_from([0.0, math.nan, math.inf, -math.inf])] * 2),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("text", [*CALLS.values(), *OTHERS])
@settings(max_examples=25, deadline=None)
@given(pairs=values)
def test_numbers_lists_and_tensors_give_the_same(text: str, pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs, np.float32).T.copy()
    expression = Expression(text)
    with np.errstate(all="ignore"):
        jagged = expression({"x": ak.unflatten(x, [len(x)]), "y": ak.unflatten(y, [len(y)])}, AWKWARD)
        on_awkward = ak.to_numpy(jagged[0]).astype(np.float32)
        on_numpy = ak.to_numpy(expression({"x": x, "y": y}, AWKWARD))
        mixed = ak.to_numpy(expression({"x": ak.unflatten(x, np.ones(len(x), np.int64)), "y": y}, AWKWARD)[:, 0])
    np.testing.assert_array_equal(on_numpy, ak.to_numpy(jagged[0]))
    np.testing.assert_array_equal(mixed, on_numpy)
    on_torch = expression({"x": torch.from_numpy(x), "y": torch.from_numpy(y)}, TORCH).float().numpy()
    # single against double precision: agreement within a few units in the last place of the largest term
    scale = np.nanmax(np.abs(np.where(np.isfinite(on_awkward), on_awkward, 0)), initial=1.0)
    np.testing.assert_allclose(on_torch, on_awkward, rtol=2e-5, atol=2e-5 * min(scale, 100))


def test_every_function_is_tried_above_or_is_over_lists() -> None:
    assert set(CALLS) == set(IN_GRAPH)
    assert set(FUNCTIONS) - set(IN_GRAPH) == {"num", "sum", "any", "all", "argmax", "first", "leading"}


def test_four_vectors_are_those_of_the_definition() -> None:
    pt1, eta1, phi1, m1, pt2, eta2, phi2, m2 = (
        np.random.default_rng(1).uniform([1, -4, -3, 0] * 2, [90, 4, 3, 20] * 2, (500, 8)).T
    )
    values = {name: ak.Array(column) for name, column in zip("abcdefgh", (pt1, eta1, phi1, m1, pt2, eta2, phi2, m2), strict=True)}

    def value(text: str) -> np.ndarray:
        return ak.to_numpy(Expression(text)(values, AWKWARD))

    p1 = np.array([pt1 * np.cos(phi1), pt1 * np.sin(phi1), pt1 * np.sinh(eta1)])
    p2 = np.array([pt2 * np.cos(phi2), pt2 * np.sin(phi2), pt2 * np.sinh(eta2)])
    e1, e2 = np.sqrt((p1**2).sum(0) + m1**2), np.sqrt((p2**2).sum(0) + m2**2)
    np.testing.assert_allclose(value("invariant_mass(a, b, c, d, e, f, g, h)"), np.sqrt((e1 + e2) ** 2 - ((p1 + p2) ** 2).sum(0)))
    np.testing.assert_allclose(value("energy(a, b, d)"), e1)
    np.testing.assert_allclose([value("px(a, c)"), value("py(a, c)"), value("pz(a, b)")], p1)
    vector = "px(a, c), py(a, c), pz(a, b)"
    np.testing.assert_allclose(value(f"mass({vector}, energy(a, b, d))"), m1, atol=1e-4)
    np.testing.assert_allclose(value(f"mass({vector}, 0)"), -np.sqrt((p1**2).sum(0)))
    np.testing.assert_allclose(value(f"eta({vector})"), eta1)
    np.testing.assert_allclose([value("pt(px(a, c), py(a, c))"), value("phi(px(a, c), py(a, c))")], [pt1, phi1])


def test_the_mass_of_two_close_particles_keeps_its_precision_in_the_graph() -> None:
    """In single precision, (E1 + E2)^2 - (p1 + p2)^2 would be noise of a few GeV here."""
    mass = Expression("invariant_mass(pt, 0.5, 1, 0, pt, 0.501, 1.001, 0)")({"pt": torch.tensor([[500.0]])}, TORCH)
    assert mass.item() == pytest.approx(500 * math.sqrt(2 * (math.cosh(0.001) - math.cos(0.001))), rel=1e-3)


lists = st.lists(st.lists(st.floats(-9, 9) | st.just(math.nan), max_size=4), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(x=lists, data=st.data())
def test_functions_over_lists_and_indices_are_those_of_a_loop(x: list[list[float]], data: st.DataObject) -> None:
    one = data.draw(st.lists(st.integers(-2, 5), min_size=len(x), max_size=len(x)))
    many = [data.draw(st.lists(st.integers(-1, 5), max_size=3)) for _ in x]
    values = {
        "x": ak.Array(ak.contents.ListOffsetArray(
            ak.index.Index64(np.cumsum([0, *map(len, x)])),
            ak.contents.NumpyArray(np.array(list(itertools.chain(*x)), np.float64)),
        )),
        "one": ak.Array(np.array(one)),
        "many": ak.values_astype(ak.Array([*many, [0]])[:-1], np.int64),
    }  # fmt: skip

    def at(values: list[float], index: int) -> float:
        return values[index] if 0 <= index < len(values) else math.nan

    expected = {
        "num(x)": [len(values) for values in x],
        "sum(x)": [sum(values) for values in x],
        "sum(x > 2)": [sum(v > 2 for v in values) for values in x],
        "any(x > 2)": [any(v > 2 for v in values) for values in x],
        "all(x > 2)": [all(v > 2 for v in values) for values in x],
        "first(x)": [at(values, 0) for values in x],
        "x[1]": [at(values, 1) for values in x],
        "x[one]": [at(values, i) for values, i in zip(x, one, strict=True)],
        "x[many]": [[at(values, i) for i in indices] for values, indices in zip(x, many, strict=True)],
        "leading(x, 2)": [values[:2] for values in x],
        "x[x > 2]": [[v for v in values if v > 2] for values in x],
        "x[argmax(x)]": [max((v for v in values if v == v), default=math.nan) for values in x],
    }
    for text, loop in expected.items():
        np.testing.assert_equal(Expression(text)(values, AWKWARD).tolist(), loop, err_msg=text)


def test_one_condition_per_entry_is_no_index() -> None:
    with pytest.raises(TypeError, match="the index is one condition per entry"):
        Expression("x[y]")({"x": ak.Array([[1.0, 2.0], [3.0]]), "y": np.array([True, False])}, AWKWARD)


# around 2^53, where doubles are 2 apart, and at the ends of 64 bits
LARGE = [2**53 + shift for shift in (-1, 0, 1, 2, 3)] + [0, 7, 2**63 - 1]
CONSTANTS = [*LARGE, -(2**53) - 1, -1, 2**63, 2**64, 10**19]


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.sampled_from(LARGE), min_size=1, max_size=6),
    constant=st.sampled_from(CONSTANTS),
    sign=st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    dtype=st.sampled_from([np.int64, np.uint64]),
)
def test_integer_branches_are_compared_exactly(numbers: list[int], constant: int, sign: str, dtype: type) -> None:
    column = np.array(numbers, dtype)
    expected = [bool(eval(f"{number} {sign} {constant}")) for number in numbers]
    assert Expression(f"n {sign} {constant}")({"n": column}, AWKWARD).tolist() == expected
    jagged = ak.unflatten(column, [len(column)])
    assert Expression(f"n {sign} {constant}")({"n": jagged}, AWKWARD).tolist() == [expected]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_that_a_floating_point_branch_cannot_be_is_refused(dtype: type) -> None:
    number = 2 ** (np.finfo(dtype).nmant + 1) + 1
    column = np.array([number, 3], dtype)
    with pytest.raises(TypeError, match=f"cannot be {number}; it holds whole numbers up to {number - 1}"):
        Expression(f"x != {number}")({"x": column}, AWKWARD)
    assert Expression(f"x >= {number}")({"x": column}, AWKWARD).tolist() == [True, False]


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(-(2**20), 2**20), st.integers(-300, 300).filter(bool)), min_size=1, max_size=6))
def test_the_remainder_is_pythons_in_every_backend(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, np.int64).T
    expected = [float(a % b) for a, b in pairs]
    remainder = Expression("x % y")
    assert remainder({"x": x, "y": y}, AWKWARD).tolist() == expected
    assert remainder({"x": ak.Array(x[None]), "y": ak.Array(y[None])}, AWKWARD).tolist() == [expected]
    assert remainder({"x": torch.tensor(x).float(), "y": torch.tensor(y).float()}, TORCH).tolist() == expected
    constant = Expression(f"x % {pairs[0][1]}")({"x": x}, AWKWARD)
    assert constant.tolist() == [float(a % pairs[0][1]) for a, _ in pairs]


def test_the_remainder_of_a_large_integer_is_exact() -> None:
    large = {"n": np.array([2**53 + 1, 2**64 - 1], np.uint64), "small": np.array([-7, 100], np.int8)}
    assert Expression("n % 10")(large, AWKWARD).tolist() == [(2**53 + 1) % 10, (2**64 - 1) % 10]
    assert Expression("small % 300")(large, AWKWARD).tolist() == [293, 100]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x > (-2) ** 0.5", "(-2) ** 0.5"),
        ("x + 8**8**8**8", "8**8**8**8"),
        ("x < 1e999", "1e999"),
        ("x / (1 - 1) + 2 / (3 - 3)", "2 / (3 - 3)"),
        ("log(0) * x", "log(0)"),
        ("where(x > 0, sqrt(-1), 1)", "sqrt(-1)"),
        ("x == 1" + "0" * 400, "1" + "0" * 400),
    ],
)
def test_a_constant_that_is_no_finite_number_is_refused_with_its_place(text: str, part: str) -> None:
    with pytest.raises(ExpressionError) as error:
        Expression(text)
    assert f"'{part}' is no finite number" in str(error.value)
    assert f"at position {text.index(part) + 1} of" in str(error.value)


@pytest.mark.parametrize("text", ["n - 9007199254740993", "abs(9007199254740993) > n", "n + -9007199254740993"])
def test_a_whole_number_that_would_be_rounded_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"double precision rounds -?9007199254740993; a whole number of this size"):
        Expression(text)


@pytest.mark.parametrize("text", ["where(tight, x, y)", "~tight & (x > 0)", "(x > 0) | tight", "x + where(x > 1, y, ~tight)"])
def test_a_boolean_branch_alone_is_no_condition_in_the_graph(text: str) -> None:
    place = text.index("tight") + 1
    with pytest.raises(ExpressionError, match=f"'tight' is a number here; write tight != 0, at position {place} of"):
        Expression(text).check_in_graph()
    Expression(text.replace("tight", "(tight != 0)")).check_in_graph()


def test_a_number_that_float32_cannot_be_is_refused_in_the_graph() -> None:
    with pytest.raises(ExpressionError, match="reads all branches as float32, which cannot be 33554433, at position 8 of"):
        Expression("run == 33554433").check_in_graph()
    Expression("(run == 33554432) & (pt < 33554433)").check_in_graph()


@pytest.mark.parametrize(("text", "word"), [("lambda / 2", "lambda"), ("x + is", "is"), ("log(def)", "def"), ("or > 3", "or")])
def test_a_branch_named_like_a_word_of_python_is_told_of_backticks(text: str, word: str) -> None:
    place = text.index(word) + 1
    with pytest.raises(ExpressionError, match=f"write a branch of this name in backticks: `{word}`, at position {place} of"):
        Expression(text)
    assert Expression(text.replace(word, f"`{word}`")).branches[-1] == word


def test_letters_of_a_branch_name_stay_as_they_are() -> None:
    micro, ligature = "\u00b5_pt", "e\ufb03ciency"  # Python's parser would read μ (U+03BC), and ffi for the ligature
    assert Expression(f"{micro} * {ligature}").branches == (micro, ligature)
    with pytest.raises(ExpressionError, match=r"syntax error: .* at position 8 of\n    µ_pt \+ \)"):
        Expression("\u00b5_pt + )")


INTEGERS = {"a": np.array([-30000, 20000], np.int16), "b": np.array([28000, 3], np.int16), "u": np.array([255, 3], np.uint8)}


@pytest.mark.parametrize(
    "text",
    [
        "pt(a, b)",
        "energy(a, u, b)",
        "delta_r(u, a, b, u)",
        "delta_phi(b, u)",
        "delta_phi(3, u)",
        "log1p(u)",
        "min(a, u)",
        "pt(u > 9, u)",
    ],
)
def test_integers_do_not_overflow_in_functions(text: str) -> None:
    doubles = {name: column.astype(np.float64) for name, column in INTEGERS.items()}
    lists = {name: ak.Array(column[None]) for name, column in INTEGERS.items()}
    with np.errstate(over="ignore"):
        expected = Expression(text)(doubles, AWKWARD)
        np.testing.assert_array_equal(Expression(text)(INTEGERS, AWKWARD), expected)
        np.testing.assert_array_equal(ak.to_numpy(Expression(text)(lists, AWKWARD))[0], expected)


@pytest.mark.parametrize(("first", "second"), [(3.0, -3.0), (-3.0, 3.0), (0.5, 0.2), (0.2, 0.5), (2.0, -1.0), (-1.5, 1.5)])
def test_delta_phi_is_the_short_way_around(first: float, second: float) -> None:
    angle = math.remainder(first - second, 2 * math.pi)  # into [-pi, pi], by another formula
    values = {"a": np.array([first]), "b": np.array([second])}
    assert Expression("delta_phi(a, b)")(values, AWKWARD)[0] == pytest.approx(angle)
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    assert Expression("delta_phi(a, b)")(tensors, TORCH).item() == pytest.approx(angle)


@pytest.mark.parametrize("text", ["flag & n > 0", "~n", "where(n, 1, 2)", "flag | x", "any(x)", "(flag & (n > 0)) & n"])
def test_a_number_is_no_condition(text: str) -> None:
    values = {"flag": np.array([True, False]), "n": np.array([2, 3], np.uint32), "x": ak.Array([[1.0], [2.0, 0.0]])}
    with pytest.raises(ExpressionError, match="this must be a condition, and is a number; compare it with something"):
        Expression(text)(values, AWKWARD)


def test_conditions_among_constants() -> None:
    assert Expression("where(~(1 > 0), x, y)")({"x": np.array([1.0]), "y": np.array([2.0])}, AWKWARD).tolist() == [2.0]


def test_one_condition_per_entry_chooses_between_lists() -> None:
    values = {"flag": np.array([True, False]), "x": ak.Array([[1.0, 2.0], [3.0]]), "y": np.array([7.0, 8.0])}
    assert Expression("where(flag, x, 0)")(values, AWKWARD).tolist() == [[1.0, 2.0], [0.0]]
    assert Expression("where(flag, x, y)")(values, AWKWARD).tolist() == [[1.0, 2.0], [8.0]]
    assert Expression("sum(where(x > 1, x, y))")(values, AWKWARD).tolist() == [9.0, 3.0]


def test_conditions_on_another_list_are_no_index() -> None:
    with pytest.raises(TypeError, match="in entry 0 of these, the index has 1 conditions and the list has 2 elements"):
        Expression("x[y > 0]")({"x": ak.Array([[1.0, 2.0], [3.0]]), "y": ak.Array([[1.0], [2.0]])}, AWKWARD)


def test_a_branch_with_the_name_of_the_constant_is_refused() -> None:
    with pytest.raises(ExpressionError, match="'pi' is a constant"):
        Expression("`pi` * 2")


@pytest.mark.parametrize("index", ["y", "0.5", "x / 4"])
def test_an_index_is_a_whole_number(index: str) -> None:
    with pytest.raises(TypeError, match=r"an index is 0\.5, but must be a whole number"):
        Expression(f"x[{index}]")({"x": ak.Array([[2.0, 8.0], [3.0]]), "y": np.array([0.5, math.nan])}, AWKWARD)


@pytest.mark.parametrize(
    ("text", "depth"),
    [("sum(x) + y", 0), ("x + y", 1), ("x[0]", 0), ("x[x > y]", 1), ("y + 1", 0), ("leading(x, 2)", 1), ("pi", 0)],
)
def test_the_depth_of_an_expression_is_known_before_reading(text: str, depth: int) -> None:
    assert Expression(text).depth({"x": 1, "y": 0}) == depth


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 + sum(y)", "'sum' needs a list, and this is one number, at position 9"),
        ("y[0]", "only a list of numbers has an index; this is one number, at position 1"),
        ("x[z]", "an index is a number or a list; this is a list of lists, at position 3"),
        ("x[(y > 0) & ~(y > 1)]", "this is one condition per entry, which cannot choose elements of a list, at position 3"),
    ],
)
def test_a_wrong_depth_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(message)):
        Expression(text).depth({"x": 1, "y": 0, "z": 2})


def test_an_element_of_a_branch_by_its_number_is_an_input_of_the_graph() -> None:
    feature = Expression("pt / `v.x`[2] + log(pt) - x[0]")
    feature.check_in_graph()
    assert feature.branches == ("pt", "v.x", "x")
    assert feature.inputs == ("pt", "v.x[2]", "x[0]")
    values = {"pt": torch.tensor([[1.0]]), "v.x[2]": torch.tensor([[2.0]]), "x[0]": torch.tensor([[3.0]])}
    assert feature(values, TORCH).item() == pytest.approx(-2.5)
    assert Expression("x[0]")({"x": ak.Array([[5.0, 6.0], []])}, AWKWARD)[0] == 5


@pytest.mark.parametrize(("text", "place"), [("log(sum(x))", 5), ("x[i]", 1), ("1 + x[y > 0]", 5)])
def test_what_the_graph_does_not_have_is_refused_with_its_place(text: str, place: int) -> None:
    with pytest.raises(ExpressionError, match=f"features.*, at position {place} of"):
        Expression(text).check_in_graph()


def test_a_branch_may_have_the_name_of_a_function() -> None:
    assert Expression("log(pt / mass)").branches == ("pt", "mass")


def test_log1p_is_precise_for_small_arguments() -> None:
    small = torch.tensor([1e-8, 3e-6, -2e-7, 0.0])
    np.testing.assert_allclose(Expression("log1p(x)")({"x": small}, TORCH), np.log1p(small.double().numpy()), rtol=1e-6)


def test_small_integers_do_not_overflow_at_ingest() -> None:
    charge = ak.Array(np.array([100, -100], np.int8))
    assert Expression("charge * 1000 + charge")({"charge": charge}, AWKWARD).tolist() == [100_100.0, -100_100.0]


def test_branches_are_the_names_in_order() -> None:
    assert Expression("log(pf_pt / jet_pt) + pi * pf_pt").branches == ("pf_pt", "jet_pt")


def test_a_branch_of_any_name_stands_in_backticks() -> None:
    expression = Expression("`jet1_b-tag` + 2 * `a.b c` - `jet1_b-tag`")
    assert expression.branches == ("jet1_b-tag", "a.b c")
    assert expression({"jet1_b-tag": torch.tensor([5.0]), "a.b c": torch.tensor([3.0])}, TORCH).item() == 6


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("log(pt", "syntax error", None),
        ("", "syntax error", None),
        ("lg(pt)", "unknown function 'lg' (did you mean log", 1),
        ("2 * __import__('os')", "unknown function '__import__'", 5),
        ("__import__('os').system('true')", "not part of the expression language", 1),
        ("pt.real", "an attribute", 1),
        ("pt[0:1]", "a slice", 1),
        ("leading(pt, n)", "must be a positive whole number", 13),
        ("'a' + pt", "the constant 'a'", 1),
        ("lambda: 1", "Lambda", 1),
        ("[x for x in pt]", "ListComp", 1),
        ("atan2(x)", "takes 2 arguments, not 1", 1),
        ("log(x=1)", "a keyword argument", 1),
        ("a and b", "write '&' and '|'", 1),
        ("not a", "write '~'", 1),
        ("pt > 30 & eta < 2", "put each comparison in brackets", 6),
        ("a // b", "FloorDiv", 1),
        ("(" * 2000 + "x" + ")" * 2000, "syntax error", None),
        ("x+" * 8000 + "x", "at most", None),
    ],
)
def test_what_is_outside_the_language_is_refused_with_its_place(text: str, message: str, position: int | None) -> None:
    with pytest.raises(ExpressionError) as error:
        Expression(text)
    assert message in str(error.value)
    if position:
        assert f"at position {position} of" in str(error.value)
