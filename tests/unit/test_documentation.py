"""Every block of code in the documentation works: YAML is a config, Python runs, commands have targets and options that exist.

Blocks that cannot be tried as they stand have a marker behind the language, and `MARKED` counts them.
"""

import importlib
import re
import shlex
import shutil
import subprocess
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import get_argument_parser

import cyclotrain.__main__
import cyclotrain.weaver.convert
from cyclotrain.config import Config, load
from support import REPOSITORY
from support.pages import PAGES, Block, blocks, type_block
from support.trained import Trained

# of text no more is known than that nobody runs it: outputs, and rows for tables
LANGUAGES = {"yaml", "python", "sh", "cpp", "snakemake", "jinja", "markdown", "text"}
# the tests that run the blocks of a language on a page; the others run here
ELSEWHERE = {
    ("docs/pytorch-for-physicists.md", "python"): "tests/unit/networks/test_newcomers_page.py",
    ("docs/pytorch-for-physicists.md", "sh"): "tests/workflow/test_newcomers.py",
    ("docs/from-weaver.md", "yaml"): "tests/unit/weaver/test_convert.py",
    ("docs/contributing/consumer.md", "python"): "tests/unit/test_contributing_pages.py",
    ("docs/contributing/consumer.md", "jinja"): "tests/unit/test_contributing_pages.py",
    ("docs/contributing/expression-function.md", "python"): "tests/unit/test_contributing_pages.py",
    ("docs/contributing/figure.md", "python"): "tests/unit/test_contributing_pages.py",
    ("docs/contributing/network.md", "python"): "tests/unit/test_contributing_pages.py",
    ("docs/contributing/network.md", "yaml"): "tests/unit/test_contributing_pages.py",
    ("docs/performance.md", "python"): "tests/unit/evaluation/test_threshold_files.py",
    ("docs/tracking.md", "python"): "tests/unit/tracking/test_tracking.py",
    # in ROOT, test_root_reads_a_friend_tree_beside_its_ntuple; the C++ of the bundle is compiled there too
    ("docs/use-the-model.md", "cpp"): "tests/runtimes/test_bundle.py",
}
# excerpt: a part of a class, whose syntax alone is checked; profile: entries of a profile of Snakemake, of which the keys are;
# untested: commands of programs that the tests do not have, beside others that are checked
MARKED = {("python", "excerpt"): 3, ("yaml", "profile"): 3, ("sh", "untested"): 1}
# commands of the shell, whose arguments nobody could check without running them
SHELL = {"source", "export", "cp", "cd"}
# files that a reader has made by the text of the page
READERS = re.compile(r"(my|toy)\.yaml|results/.*")


def found(*languages: str) -> list[Any]:
    """The blocks of some languages that run here, as parameters of a test."""
    return [
        pytest.param(page, block, id=f"{name}:{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.language in languages and ((name := str(page.relative_to(REPOSITORY))), block.language) not in ELSEWHERE
    ]


def test_every_block_has_a_language_and_few_have_a_marker() -> None:
    markers: Counter[tuple[str, str]] = Counter()
    for page in PAGES:
        n_fences = len(re.findall(r"^\s*```", page.read_text(), re.MULTILINE))
        assert n_fences == 2 * sum(1 + len(block.outputs) for block in blocks(page)), page
        for block in blocks(page):
            assert block.language in LANGUAGES, f"{page}, line {block.line}"
            markers.update([(block.language, block.marker)] if block.marker else [])
    assert markers == MARKED


def test_the_blocks_that_run_elsewhere_are_there() -> None:
    for (page, language), test in ELSEWHERE.items():
        assert language in {block.language for block in blocks(REPOSITORY / page)}, page
        assert Path(page).name in (REPOSITORY / test).read_text(), test
    assert found("cpp", "snakemake", "jinja") == [], "no test runs the blocks of this language"


@pytest.mark.parametrize(("page", "block"), found("yaml"))
def test_yaml_is_a_config_or_a_part_of_one(page: Path, block: Block) -> None:
    raw = yaml.safe_load(block.code)
    match block.marker:
        case "profile":
            snakemake(" ".join(f"--{key}=1" for key in raw or {} if key != "default-resources").split())
        case "":
            load(raw if {"run", "inputs"} <= raw.keys() else merged(demo(), raw))


def demo() -> dict[str, Any]:
    """The config of the demo with two quantities: the base of configs that are shown in part."""
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    quantiles = {"target": "jet_pt", "loss": "quantile", "quantiles": [0.16, 0.5, 0.84]}
    return {**raw, "regression": {"true_mass": {"target": "jet_mass"}, "pt_ratio": quantiles}}


def merged(base: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A config with the sections of another over its own; a network that is named begins with its own options."""
    whole = dict(base)
    for key, value in part.items():
        is_section = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "model"
        whole[key] = merged(base[key], value) if is_section else value
    return whole


@pytest.fixture(scope="module")
def readers_folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader has a finished run, which the toy model stands for."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "results/demo/model").mkdir(parents=True)
    shutil.copy(trained.onnx, folder / "results/demo/model/model.onnx")
    return folder


PYTHON: dict[Path, list[Block]] = {}
for _parameter in found("python"):
    PYTHON.setdefault(_parameter.values[0], []).append(_parameter.values[1])


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_python_runs_on_a_finished_run(page: Path, readers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(readers_folder)
    session: dict[str, Any] = {"__name__": "page"}
    for block in PYTHON[page]:
        if block.marker == "excerpt":
            compile("class _:\n" + textwrap.indent(textwrap.dedent(block.code), " "), page, "exec")
        elif block.code.startswith("    "):  # entries of a table of the module that the page is about
            assert isinstance(entries(block, MODULES[page.name]), dict)
        else:
            type_block(block, page, session, is_compared=False)


MODULES = {"cluster-profile.md": "cyclotrain.cluster.profiles"}


def entries(block: Block, module: str) -> Any:
    """The entries that a block adds to a table of a module."""
    return eval("{" + block.code + "}", dict(vars(importlib.import_module(module))))


@pytest.mark.parametrize(("page", "block"), found("sh"))
def test_commands_have_targets_and_options_that_exist(page: Path, block: Block) -> None:
    for words in commands(re.sub(r"<<'(\w+)'\n.*?\n\1$", "", block.code, flags=re.DOTALL | re.MULTILINE)):
        is_known = check(words, made_profiles(page))
        assert is_known or words[0] in SHELL or block.marker == "untested", f"a test should check {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_in_the_text_have_targets_and_options_that_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for command in re.findall(r"(?<!`)`((?:make|snakemake|python -m cyclotrain)\s[^`]+)`(?!`)", text):
        for words in commands(re.sub(r"[\[\]]|\.\.\.", "", " ".join(command.split()))):
            assert check(words, made_profiles(page)), command


# what a reader makes by the text of the page
MADE_BY_READERS = {
    "scripts/cyclotrain/networks/max_pool.py", "consumers/python/__init__.py", "consumers/python/model.py", "reference/check.py"
}  # fmt: skip
# from where paths in the text begin
FOLDERS = (REPOSITORY, REPOSITORY / "scripts/cyclotrain")


# CHANGELOG.md tells of files that were
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_and_tests_that_the_text_names_are_there(page: Path) -> None:
    text = page.read_text()
    paths = re.findall(r"`((?:config|docs|envs|profiles|scripts|tests|workflow)/[\w./-]*\w)`|`(\w+/\w[\w/]*\.py)`", text)
    named = {path or module for path, module in paths} - MADE_BY_READERS
    assert {path for path in named if not any((folder / path).exists() for folder in FOLDERS)} == set()
    if page.parent.name == "contributing":
        assert set(re.findall(r"`(test_\w+)`", text)) <= names_of_tests()


@cache
def names_of_tests() -> set[str]:
    """The names of all tests and fixtures."""
    return {name for path in (REPOSITORY / "tests").rglob("*.py") for name in re.findall(r"def (\w+)", path.read_text())}


def commands(code: str) -> Iterator[list[str]]:
    """The words of each command, without the variables set for it and what becomes of its output."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not re.fullmatch("[;&|<>]+", word):
                words += [] if not words and re.match(r"\w+=", word) else [word]
                continue
            if words and word[0] not in "<>":
                yield words[: words.index(">")] if ">" in words else words
                words = []
            elif word[0] in "<>":
                words += [">"]


def made_profiles(page: Path) -> set[str]:
    """The profiles that there are, and those that a reader of the page makes."""
    made = re.findall(r"^cp -r profiles/\w+ profiles/(\w+)$", page.read_text(), re.MULTILINE)
    return {*made, *(path.name for path in (REPOSITORY / "profiles").iterdir())}


def check(words: list[str], profiles: set[str]) -> bool:
    """Assert that a command could run, as far as its program tells without running; false if the program is not known here."""
    match words:
        case ["make", *arguments]:
            for variable in [argument.partition("=")[0] for argument in arguments if "=" in argument]:
                assert f"$({variable})" in (REPOSITORY / "Makefile").read_text(), words
            dry_run = ["make", "--dry-run", "--assume-old", ".venv/complete", *arguments]
            done = subprocess.run(dry_run, cwd=REPOSITORY, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        case ["snakemake", *arguments]:
            options = snakemake(arguments)
            assert options.workflow_profile is None or options.workflow_profile in profiles, words
            for path in options.configfile or []:
                assert READERS.fullmatch(str(path)) or (REPOSITORY / path).exists(), words
            assert {entry.partition("=")[0] for entry in options.config or []} <= Config.model_fields.keys() | {"model"}, words
            named = {name for name in [*options.targets, *(options.forcerun or [])] if not READERS.fullmatch(name)}
            assert named <= rules(), words
        case ["python", "-m", "cyclotrain", *arguments]:
            cyclotrain.__main__.command_line().parse_args(arguments)
        case ["python", "-m", "cyclotrain.weaver", *arguments]:
            cyclotrain.weaver.convert.command_line().parse_args(arguments)
        case [".venv/bin/python", "-m", "pytest", *arguments]:
            assert all((REPOSITORY / path).exists() for path in arguments if path.startswith("tests/")), words
            if "-k" in arguments:
                expression = arguments[arguments.index("-k") + 1]
                assert expression in profiles or expression in (REPOSITORY / arguments[0]).read_text(), words
        case ["python", "-"]:  # a text that its page's test runs
            pass
        case _:
            return False
    return True


def snakemake(arguments: list[str]) -> Any:
    """The options of snakemake, read as it reads them."""
    try:
        return get_argument_parser(profiles=[]).parse_args(arguments)
    except SystemExit:
        pytest.fail(f"snakemake does not take {' '.join(arguments)}")


@cache
def rules() -> set[str]:
    """The names of the rules of the workflow."""
    files = [REPOSITORY / "Snakefile", *(REPOSITORY / "workflow/rules").glob("*.smk")]
    return {name for path in files for name in re.findall(r"^(?:rule|checkpoint) (\w+):", path.read_text(), re.MULTILINE)}
