"""Names in a bundle are valid and distinct for any branch, and do not change where they are fine."""

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.deploy.names import camel, distinct, parameter, quoted

anything = st.lists(st.text(min_size=1, max_size=6) | st.text("aAbB_.-2", min_size=1, max_size=4), unique=True, max_size=12)


@given(anything)
def test_any_branches_have_valid_and_distinct_parameters_and_products(branches: list[str]) -> None:
    parameters, instances = distinct(branches, parameter), distinct(branches, camel)
    assert len(set(parameters.values())) == len(set(instances.values())) == len(branches)
    for name in parameters.values():
        assert name.isascii() and name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")
    assert all(name.isascii() and name.isalnum() for name in instances.values())


@pytest.mark.parametrize(
    ("branches", "parameters", "instances"),
    [
        (["jet_pt", "pf_pt", "nJet", "µ"], ["jet_pt", "pf_pt", "nJet", "branch"], ["jetPt", "pfPt", "nJet", "unnamed"]),
        # one branch has the number in both, as the other is the plainer name
        (["x.y", "x_y"], ["x_y2", "x_y"], ["xY2", "xY"]),
        # a name that is derived from itself keeps it, wherever it stands
        (["J.pt", "J-pt", "J_pt", "jPt"], ["J_pt2", "J_pt3", "J_pt", "jPt"], ["jPt2", "jPt3", "jPt4", "jPt"]),
        (["µ_pt", "pt", "pt2"], ["pt3", "pt", "pt2"], ["pt3", "pt", "pt2"]),
        (["2nd_pt", "class", "None"], ["branch_2nd_pt", "branch_class", "branch_None"], ["2ndPt", "class", "none"]),
        # of CMSSW's parameter sets
        (["_x", "value", "using_b"], ["branch_x", "branch_value", "branch_using_b"], ["x", "value", "usingB"]),
    ],
)  # fmt: skip
def test_the_names_of_branches(branches: list[str], parameters: list[str], instances: list[str]) -> None:
    assert list(distinct(branches, parameter).values()) == parameters
    assert list(distinct(branches, camel).values()) == instances


def test_a_quoted_name_is_a_literal() -> None:
    assert eval(quoted('a "b" \\ µ')) == 'a "b" \\ µ'
