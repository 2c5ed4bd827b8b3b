"""The page for newcomers to PyTorch, up to the run of Cyclotrain; tests/workflow/test_newcomers.py has all of it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cyclotrain.core.errors import InputError
from cyclotrain.export.trial import try_network
from support import REPOSITORY
from support.pages import blocks, type_block, without_numbers
from support.toys import skim_and_assemble

PAGE = REPOSITORY / "docs/pytorch-for-physicists.md"
MODULES = ("my_networks", "mistakes")


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a reader who has typed the page and run nothing in the shell."""
    folder = tmp_path_factory.mktemp("typed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        session: dict[str, object] = {"__name__": "page"}
        is_before_the_run = True
        for block in blocks(PAGE):
            is_before_the_run = is_before_the_run and block.language != "sh"
            if block.file or (is_before_the_run and block.language == "python"):
                type_block(block, PAGE, session)
        yield folder
    for module in MODULES:
        sys.modules.pop(module, None)


def test_what_is_typed_prints_what_the_page_says(typed: Path) -> None:
    assert {path.name for path in typed.iterdir() if path.is_file()} == {
        "my_networks.py", "mistakes.py", "toy.yaml", "toy_background.root", "toy_signal.root",
    }  # fmt: skip


def test_each_mistake_is_told_as_the_page_says(typed: Path) -> None:
    config, contract, shards = skim_and_assemble(yaml.safe_load((typed / "toy.yaml").read_text()), typed)
    said = [line for block in blocks(PAGE) if "mistakes:" in block.code for text in block.outputs for line in text.splitlines()]
    assert len(said) == 3
    for line in said:
        name = line.split("'")[1]
        with pytest.raises(InputError) as error:
            model = config.model.model_copy(update={"name": name})
            try_network(contract, shards, model=model, export=config.export, tolerance=config.verification.tolerance)
        assert without_numbers(line.removeprefix("InputError: ")) in without_numbers(str(error.value))
