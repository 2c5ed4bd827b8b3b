"""CMSSW with PyTorch and alpaka: a producer on structures of arrays, with constituents of a fixed length."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from cyclotrain.contract import Layout
from cyclotrain.core.errors import InputError
from cyclotrain.deploy.consumers.cmssw_pytorch import names
from cyclotrain.deploy.consumers.consumer import Consumer, Making
from cyclotrain.deploy.names import camel, distinct

_MOST_COLUMNS = 64  # of GENERATE_SOA_LAYOUT, whose columns are arguments of BOOST_PP_VARIADIC_TO_SEQ
_MOST_SLOTS = 32_768  # of an Eigen vector: 128 kB, EIGEN_STACK_ALLOCATION_LIMIT


def _write(making: Making) -> None:
    values = {**making.values, **names(making, "Alpaka")}
    package, label = values["package"], values["label"]
    base = package.rpartition("/")[2]
    values |= {"base": base, "guard": re.sub(r"\W", "_", package), **_columns(making, base)}
    own = dataclasses.replace(making, values=values)
    data = f"{package}/{values['model_path']}"
    own.render(
        {
            "SoA.h.jinja": f"{package}/interface/{base}SoA.h",
            "HostCollections.h.jinja": f"{package}/interface/{base}HostCollections.h",
            "DeviceCollections.h.jinja": f"{package}/interface/alpaka/{base}DeviceCollections.h",
            "Producer.cc.jinja": f"{package}/plugins/alpaka/{values['class_name']}.cc",
            "PluginsBuildFile.xml.jinja": f"{package}/plugins/BuildFile.xml",
            "BuildFile.xml": f"{package}/BuildFile.xml",
            "classes.h.jinja": f"{package}/src/classes.h",
            "classes.cc.jinja": f"{package}/src/classes.cc",
            "classes_def.xml.jinja": f"{package}/src/classes_def.xml",
            "classes_cuda.h.jinja": f"{package}/src/alpaka/classes_cuda.h",
            "classes_cuda_def.xml.jinja": f"{package}/src/alpaka/classes_cuda_def.xml",
            "cfg.py.jinja": f"{package}/test/{label}_cfg.py",
            "data.md.jinja": str(Path(data).with_name("README.md")),
        }
    )
    own.copy("torchscript", data)


def _columns(making: Making, base: str) -> dict[str, Any]:
    """The columns of both structures of arrays. The names begin with `in` or `out`, so that none is a word of C++."""
    layout, outputs = making.contract.layout, making.contract.outputs
    jagged = [name for name, features in layout.sets.items() if features.is_jagged]
    types = distinct(jagged, lambda name: base + camel(name, capital=True))
    inputs = distinct(list(layout.inputs), lambda branch: "in" + camel(branch, capital=True))
    answers = distinct(list(making.contract.columns), lambda column: "out" + camel(column, capital=True))
    lengths = {name: layout.sets[name].max_length for name in types}
    return {
        "jagged": [{"name": name, "type": kind, "length": lengths[name]} for name, kind in types.items()],
        "columns_in": [
            {
                "name": branch,
                "column": inputs[branch],
                "set": name,
                "type": types[name] if name else None,
                "length": lengths[name] if name else None,
            }
            for branch, name in layout.inputs.items()
        ],
        "columns_out": [
            {"name": column, "column": answers[column], "output": output.name} for output in outputs for column in output.columns
        ],
    }


def _check(layout: Layout) -> None:
    """Columns of a structure of arrays have a fixed length, and there are at most 64."""
    advice = "or take 'cmssw_pytorch' instead of 'cmssw_alpaka' in export.consumers"
    if len(layout.inputs) > _MOST_COLUMNS:
        raise InputError(
            f"export.consumers: 'cmssw_alpaka' takes at most {_MOST_COLUMNS} branches, because a structure of arrays has no "
            f"more columns, and there are {len(layout.inputs)}: use fewer, {advice}"
        )
    for name, features in layout.sets.items():
        if features.sort_by:
            raise InputError(
                f"export.consumers: 'cmssw_alpaka' takes the first constituents of inputs.{name}, as many as max_length, and "
                f"'sort_by' needs all of them: remove it, and sort where the ntuple is made, {advice}"
            )
        if features.max_length and features.max_length > _MOST_SLOTS:
            raise InputError(
                f"export.consumers: 'cmssw_alpaka' takes at most {_MOST_SLOTS} constituents, because an Eigen vector has no "
                f"more, and inputs.{name}.max_length is {features.max_length}: make it smaller, {advice}"
            )


CONSUMER = Consumer(
    title="CMSSW with PyTorch and alpaka",
    purpose="CMSSW with PyTorch and alpaka: a producer on structures of arrays, for GPUs, with constituents of a fixed length",
    check_it="[README](cmssw_alpaka/README.md)",
    write=_write,
    check=_check,
)
