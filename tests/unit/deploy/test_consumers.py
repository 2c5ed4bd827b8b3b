"""The consumers of the config, and their folders."""

import dataclasses
from typing import Any, get_args

import pytest

from cyclotrain.config.export import ConsumerName, ExportConfig
from cyclotrain.core.errors import InputError
from cyclotrain.deploy.consumers import CONSUMERS, check_consumers
from cyclotrain.deploy.consumers.consumer import FOLDER
from support.trained import Trained


def test_each_consumer_of_the_config_has_a_folder_and_an_entry() -> None:
    names = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert names == set(CONSUMERS) == set(get_args(ConsumerName))


def test_a_form_is_no_consumer_and_no_form_is_made_twice() -> None:
    export = ExportConfig(consumers=["torchscript", "cpp", "onnx", "torchscript", "cpp"])
    assert export.forms == ["onnx", "torchscript"] and export.takers == ["cpp"]
    assert ExportConfig(consumers=["cpp"]).forms == ["onnx"]
    assert ExportConfig(consumers=["cmssw_alpaka"]).forms == ["onnx", "torchscript"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sort_by": "pf_pt"}, r"first constituents of inputs\.pf, .* 'sort_by' needs all of them"),
        ({"max_length": 40_000}, r"at most 32768 constituents, .* inputs\.pf\.max_length is 40000"),
        (
            {"branches": tuple(f"pf_{i}" for i in range(64))},
            r"at most 64 branches, .* and there are 68: .* take 'cmssw_pytorch'",
        ),
    ],
)
def test_the_alpaka_producer_of_cmssw_refuses_what_its_columns_cannot_hold(
    changes: dict[str, Any], message: str, trained: Trained
) -> None:
    layout = trained.contract.layout
    check_consumers(["cmssw_alpaka"], layout)
    sets = layout.sets | {"pf": dataclasses.replace(layout.sets["pf"], **changes)}
    with pytest.raises(InputError, match=message):
        check_consumers(["cmssw_alpaka"], dataclasses.replace(layout, sets=sets))
