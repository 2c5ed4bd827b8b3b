"""Which figures a run has."""

import importlib
import inspect

import pytest
import yaml

from cyclotrain.config import Config, load
from cyclotrain.contract.run import RESULT_FILES
from cyclotrain.report import catalogue
from support import REPOSITORY

CONFIGS = [REPOSITORY / "config/config.yaml", *sorted((REPOSITORY / "config/examples").glob("*.yaml"))]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_figure_has_a_function_that_takes_its_results_and_options(path) -> None:  # type: ignore[no-untyped-def]
    config: Config = load(yaml.safe_load(path.read_text()))
    plots = [*catalogue.plots(config), catalogue.LEARNING_RATES]
    assert len({plot.name for plot in plots}) == len(plots)
    for plot in plots:
        module, _, name = plot.function.partition(".")
        function = getattr(importlib.import_module(f"cyclotrain.report.plots.{module}"), name)
        assert set(plot.results) <= set(RESULT_FILES)
        assert set(inspect.signature(function).parameters) == {*plot.results, *plot.options, "paths"}, plot.name
        assert plot.title and plot.caption.endswith(".")
