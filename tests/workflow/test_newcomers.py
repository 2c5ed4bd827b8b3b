"""The whole page for newcomers to PyTorch, as a reader types it, in one Python session and in the shell."""

import sys
from pathlib import Path

import pytest

from support import REPOSITORY
from support.pages import blocks, type_block, without_numbers
from support.workflow import Workflow

pytestmark = pytest.mark.workflow


def test_the_page_leads_from_a_tensor_to_a_verified_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, workflow = REPOSITORY / "docs/pytorch-for-physicists.md", Workflow(tmp_path / "project")
    monkeypatch.chdir(workflow.folder)
    monkeypatch.syspath_prepend(workflow.folder)
    session: dict[str, object] = {"__name__": "page"}
    commands = 0
    for block in blocks(page):
        if block.language != "sh":
            type_block(block, page, session)
            continue
        done = workflow.shell(block.code)
        assert (done.returncode == 0) == (commands == 0), done.stdout[-6000:]  # the second command is of a mistake
        output = without_numbers(done.stdout)
        for line in block.outputs[0].splitlines():
            assert without_numbers(line).strip() in output, line
        commands += 1
    assert commands == 2
    assert (workflow.folder / "results/toy/deploy/model.onnx").exists()
    sys.modules.pop("my_networks")
