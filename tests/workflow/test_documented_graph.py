"""The picture of the workflow in README.md."""

import re
import shutil
from pathlib import Path

import pytest

from cyclotrain.report.images import GRAPH
from support import REPOSITORY
from support.workflow import Workflow

pytestmark = pytest.mark.workflow


def test_it_has_the_rules_of_the_demo(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    rules = set(re.findall(r'^\s*\d+\[label = "(\w+)"', workflow.shell("snakemake --rulegraph dot").stdout, re.MULTILINE))
    assert len(rules) > 15
    shown = set(re.findall(r'class="node">\s*<title>(\w+)</title>', (REPOSITORY / GRAPH).read_text()))
    assert shown == rules - {"all"}, "run PYTHONPATH=scripts python -m cyclotrain.report.images"


@pytest.mark.skipif(shutil.which("tred") is None, reason="Graphviz draws it")
def test_make_images_draws_it(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    (workflow.folder / GRAPH).unlink()
    done = workflow.shell("PYTHONPATH=scripts python -m cyclotrain.report.images")
    assert done.returncode == 0, done.stdout
    assert "require_gates" in (workflow.folder / GRAPH).read_text()
