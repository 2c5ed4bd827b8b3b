"""The examples of docs/contributing, done as each page says: network.md, expression-function.md, figure.md, consumer.md."""

import importlib
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch
import yaml

from cyclotrain.config import load
from cyclotrain.config import model as config_model
from cyclotrain.config import networks as options_of_networks
from cyclotrain.deploy import bundle as bundles
from cyclotrain.deploy.consumers import consumer
from cyclotrain.deploy.reference import write_reference
from cyclotrain.export.trial import try_network
from cyclotrain.expressions import awkward_backend, functions
from cyclotrain.networks import registry
from cyclotrain.networks.features import TORCH
from cyclotrain.report import catalogue
from cyclotrain.report.plots import trust
from support import REPOSITORY
from support.pages import Block, blocks
from support.trained import Trained
from support.workflow import Workflow


def of(page: str, language: str) -> list[Block]:
    """The blocks of a language on a page."""
    return [block for block in blocks(REPOSITORY / "docs/contributing" / page) if block.language == language]


def test_the_network_is_tried_with_its_options(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, registered, options, listed = (block.code for block in of("network.md", "python"))
    (config,) = of("network.md", "yaml")
    (tmp_path / "max_pool.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    of_network: dict[str, Any] = {"MaxPool": importlib.import_module("max_pool").MaxPool}
    of_options = dict(vars(options_of_networks))
    exec(options, of_options)
    monkeypatch.setattr(registry, "BUILT_IN", registry.BUILT_IN | eval(f"{{{registered}}}", of_network))
    monkeypatch.setattr(config_model, "BUILT_IN", config_model.BUILT_IN | eval(f"{{{listed}}}", of_options))
    model = load({**trained.config.model_dump(exclude_unset=True), **yaml.safe_load(config.code)}).model
    try_network(trained.contract, trained.shards, model=model, export=trained.config.export, tolerance=1e-5)
    sys.modules.pop("max_pool")


def test_the_functions_give_what_the_page_says() -> None:
    sign, its_line, last, computed = (block.code for block in of("expression-function.md", "python"))
    of_functions = dict(vars(functions))
    exec(sign, of_functions)
    new = eval(f"{{{its_line}{last}}}", of_functions)
    assert list(new) == ["sign", "last"]
    x = np.array([-2.0, -0.0, 0.0, 3.0, math.nan])
    expected = [-1, 0, 0, 1, math.nan]
    assert np.array_equal(new["sign"].apply(awkward_backend.AWKWARD, ak.Array(x)), expected, equal_nan=True)
    assert np.array_equal(new["sign"].apply(TORCH, torch.from_numpy(x)), expected, equal_nan=True)
    of_lists = eval(f"{{{computed}}}", dict(vars(awkward_backend)))
    assert np.array_equal(of_lists["last"](ak.Array([[1.0, 2.0], [], [3.0]])), [2, math.nan, 3], equal_nan=True)


def test_the_figure_is_drawn_as_its_entry_says(trained: Trained, tmp_path: Path) -> None:
    draws, entry = (block.code for block in of("figure.md", "python"))
    of_trust, of_catalogue = dict(vars(trust)), dict(vars(catalogue))
    exec(draws, of_trust)
    exec(f"def entries():\n{entry}", of_catalogue)
    (plot,) = of_catalogue["entries"]()
    assert plot.function == "trust.log_odds"
    results = dict(zip(("evaluation", "curves"), trained.evaluate(), strict=False))
    paths = [tmp_path / f"{plot.name}.{form}" for form in ("png", "svg")]
    tables = list(of_trust[plot.name](**{name: results[name] for name in plot.results}, paths=paths))
    assert [table.name for table in tables] == [f"log-odds of {name}" for name in trained.config.classes]
    assert all(path.stat().st_size > 5000 for path in paths)


def test_the_consumer_gives_the_reference_answers(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (made, model, line), (readme,), (_, asked) = (of("consumer.md", language) for language in ("python", "jinja", "sh"))
    (tmp_path / "python").mkdir()
    (tmp_path / "python/model.py").write_text(model.code)
    (tmp_path / "python/README.md.jinja").write_text(readme.code)
    monkeypatch.setattr(consumer, "FOLDER", tmp_path)
    python = ModuleType("python")
    exec(made.code, vars(python))
    monkeypatch.setattr(bundles, "CONSUMERS", bundles.CONSUMERS | eval(f"{{{line.code}}}"))
    write_reference(trained.contract, trained.onnx, shards=trained.shards, folder=tmp_path / "reference")
    parts = bundles.Parts({"onnx": trained.onnx}, tmp_path / "reference", [], [])
    bundles.bundle(trained.contract, ["python"], parts, tmp_path / "results/my_run/deploy")
    assert "- `pf_pt`: [n, pf]" in (tmp_path / "results/my_run/deploy/python/README.md").read_text()
    answer = Workflow(tmp_path, copy=False).shell(asked.code)
    n, difference, allowed = re.fullmatch(r"(\d+) examples, largest difference (\S+), allowed (\S+)\n", answer.stdout).groups()
    assert int(n) > 100 and float(difference) <= float(allowed)
