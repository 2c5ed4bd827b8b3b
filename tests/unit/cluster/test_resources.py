"""The table of what cluster jobs ask for has exactly the rules that run as cluster jobs."""

import re

import pytest

from conftest import REPOSITORY
from cyclotrain.cluster.resources import RESOURCES, resources_of


def rules() -> dict[str, str]:
    """The text of each rule that runs something."""
    text = "\n".join(path.read_text() for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")))
    parts = re.split(r"^ *(?:rule|checkpoint) (\w+):$", text, flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {rule: body for rule, body in bodies.items() if re.search(r"^ *(?:script|shell|run|notebook):$", body, re.MULTILINE)}


def test_each_rule_takes_its_resources_from_the_table_or_runs_where_snakemake_does() -> None:
    assert {rule for rule, body in rules().items() if "localrule: True" not in body} == set(RESOURCES)
    for rule, body in rules().items():
        stated = re.search(r"^ *resources:\n +(.*)$", body, re.MULTILINE)
        assert (stated and stated[1]) == (f'**resources_of("{rule}"),' if rule in RESOURCES else None), rule


def test_a_rule_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'skimm' is not in the table RESOURCES of cyclotrain\.cluster\.resources: add"):
        resources_of("skimm")
