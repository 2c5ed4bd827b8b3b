import math

import awkward as ak
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclotrain.expressions import FUNCTIONS, Expression, ExpressionError
from cyclotrain.features import TORCH
from cyclotrain.ntuples import AWKWARD

CALLS = {
    **{name: f"{name}(x)" for name, function in FUNCTIONS.items() if function.arguments == 1},
    **{name: f"{name}(x, y)" for name, function in FUNCTIONS.items() if function.arguments == 2},
    "clip": "clip(x, -1, y)",
    "where": "where(x > y, x, y)",
    "delta_r": "delta_r(x, y, y, x)",
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
@settings(max_examples=40, deadline=None)
@given(pairs=values)
def test_awkward_and_torch_give_the_same(text: str, pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs, np.float32).T.copy()
    expression = Expression(text)
    with np.errstate(all="ignore"):
        jagged = expression({"x": ak.unflatten(x, [len(x)]), "y": ak.unflatten(y, [len(y)])}, AWKWARD)
        on_awkward = ak.to_numpy(jagged[0]).astype(np.float32)
    on_torch = expression({"x": torch.from_numpy(x), "y": torch.from_numpy(y)}, TORCH).float().numpy()
    # single against double precision: a few units in the last place of the largest term
    scale = np.nanmax(np.abs(np.where(np.isfinite(on_awkward), on_awkward, 0)), initial=1.0)
    np.testing.assert_allclose(on_torch, on_awkward, rtol=2e-5, atol=2e-5 * min(scale, 100))


def test_every_function_is_tried_above() -> None:
    assert set(CALLS) == set(FUNCTIONS)


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
        ("pt[0]", "an index", 1),
        ("'a' + pt", "the constant 'a'", 1),
        ("lambda: 1", "Lambda", 1),
        ("[x for x in pt]", "ListComp", 1),
        ("atan2(x)", "takes 2 arguments, not 1", 1),
        ("log(x=1)", "a keyword argument", 1),
        ("a and b", "write '&' and '|'", 1),
        ("not a", "write '~'", 1),
        ("pt > 30 & eta < 2", "put each comparison in brackets", 6),
        ("a // b", "FloorDiv", 1),
        ("log + 1", "without its arguments", 1),
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
