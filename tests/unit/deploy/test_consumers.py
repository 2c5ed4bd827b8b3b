"""The consumers of the config, and their folders."""

from typing import get_args

from cyclotrain.config.export import ConsumerName, ExportConfig
from cyclotrain.deploy.consumers import CONSUMERS
from cyclotrain.deploy.consumers.consumer import FOLDER


def test_each_consumer_of_the_config_has_a_folder_and_an_entry() -> None:
    names = {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert names == set(CONSUMERS) == set(get_args(ConsumerName))


def test_a_form_is_no_consumer_and_no_form_is_made_twice() -> None:
    export = ExportConfig(consumers=["torchscript", "cpp", "onnx", "torchscript", "cpp"])
    assert export.forms == ["onnx", "torchscript"] and export.takers == ["cpp"]
    assert ExportConfig(consumers=["cpp"]).forms == ["onnx"]
