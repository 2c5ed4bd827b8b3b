"""The table of what cluster jobs ask for has exactly the rules that run as cluster jobs, and each profile has its numbers."""

import re

import pytest
import yaml

from cyclotrain.cluster.profiles import BEGIN, TRANSLATIONS, path_of, set_resources
from cyclotrain.cluster.resources import RESOURCES, resources_of
from support import REPOSITORY


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


def test_every_profile_but_the_default_one_is_translated() -> None:
    assert {path.name for path in (REPOSITORY / "profiles").iterdir()} == {"default", *TRANSLATIONS}


@pytest.mark.parametrize("profile", TRANSLATIONS)
def test_the_generated_part_is_up_to_date_and_the_default_profile_is_in_it(profile: str) -> None:
    text = (REPOSITORY / path_of(profile)).read_text()
    _, begin, generated = text.partition(BEGIN)
    assert begin + generated == set_resources(profile), "run `make docs`"
    default = yaml.safe_load((REPOSITORY / path_of("default")).read_text())
    assert set(default) <= set(yaml.safe_load(text))  # a workflow profile replaces the default one
