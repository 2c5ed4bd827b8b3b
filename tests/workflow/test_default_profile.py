"""profiles/default is applied on every run, as it lies where Snakemake looks for it."""

import base64
from pathlib import Path

import pytest

from support.workflow import Workflow, small_demo

pytestmark = pytest.mark.workflow
NTUPLE = "results/demo/ntuples/qcd/000.root"


def test_what_a_killed_run_left_is_made_again_without_being_asked_for(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "project")
    # a job that was killed leaves its output, and Snakemake's mark that it is not to be trusted
    output = workflow.folder / NTUPLE
    mark = workflow.folder / ".snakemake/incomplete" / base64.urlsafe_b64encode(NTUPLE.encode()).decode()
    for path in (output, mark):
        path.parent.mkdir(parents=True)
        path.touch()
    without = workflow.run(small_demo(), NTUPLE, "--dry-run", "--workflow-profile", "none", "--cores", "1", check=False)
    assert without.returncode and "IncompleteFilesException" in without.stdout
    done = workflow.run(small_demo(), NTUPLE, "--dry-run")
    assert "Using workflow specific profile profiles/default" in done.stdout
    assert "rule simulate" in done.stdout
