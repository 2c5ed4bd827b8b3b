"""CMSSW with PyTorch: the EDProducer of `cmssw` on `cms::torch::Model`, in a package of its own."""

import dataclasses
from pathlib import Path
from typing import Any

from cyclotrain.deploy.consumers.cmssw import write_package
from cyclotrain.deploy.consumers.consumer import Consumer, Making


def names(making: Making, suffix: str) -> dict[str, Any]:
    """The names of a package that can lie beside that of `cmssw`."""
    package = f"{making.values['package']}{suffix}"
    label = making.values["label"].removesuffix("Producer") + f"{suffix}Producer"
    class_name = making.values["class_name"].removesuffix("Producer") + f"{suffix}Producer"
    path = str(Path(making.values["model_path"]).with_suffix(".pt"))
    return {"package": package, "label": label, "class_name": class_name, "model_path": path}


def _write(making: Making) -> None:
    write_package(dataclasses.replace(making, values={**making.values, **names(making, "Torch")}), "torchscript")


CONSUMER = Consumer(
    title="CMSSW with PyTorch",
    purpose="CMSSW with PyTorch: the EDProducer on `cms::torch::Model`, with its BuildFile, configuration and data folder",
    check_it="[README](cmssw_pytorch/README.md)",
    write=_write,
)
