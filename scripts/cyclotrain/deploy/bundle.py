"""The deployment bundle: one folder with the model and what each of its consumers needs."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import onnx

from cyclotrain.contract import OUTPUT, Contract
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.core.files import atomic_folder, file_sha256
from cyclotrain.deploy.names import camel, distinct, parameter, quoted
from cyclotrain.deploy.tolerance import tolerance

_TEMPLATES = Path(__file__).parent / "templates"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a bundle is made of: files, and the folder of the reference vectors.

    `others`: the network alone and its preprocess.json, the model as TorchScript, and variants, where the config asks for them.
    `cards` and `plots`: the model card and the figures that it names. `working_points`: thresholds of the score; none without
    classes.
    """

    exported: str | Path
    others: Sequence[str | Path]
    reference: str | Path
    cards: Sequence[str | Path]
    plots: Sequence[str | Path]
    working_points: Sequence[str | Path] = ()


def bundle(contract: Contract, parts: Parts, folder: str | Path) -> None:
    """Write the bundle into `folder`, whole or not at all."""
    with atomic_folder(folder) as temporary:
        _write(contract, Path(parts.exported), [Path(path) for path in parts.others], temporary)
        shutil.copytree(parts.reference, temporary / "reference", dirs_exist_ok=True)
        for path in parts.cards:
            shutil.copyfile(path, temporary / Path(path).name)
        for folder_name, paths in (("plots", parts.plots), ("working_points", parts.working_points)):
            for path in paths:
                (temporary / folder_name).mkdir(exist_ok=True)
                shutil.copyfile(path, temporary / folder_name / Path(path).name)
        _write_checksums(temporary)
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    _log.info("%s: %d files, %.1f MB", folder, len(files), sum(path.stat().st_size for path in files) / 1e6)


def _write(contract: Contract, exported: Path, others: Sequence[Path], folder: Path) -> None:
    sha256 = file_sha256(exported)
    for_constructor = [path for path in others if path.stem in ("network", "preprocess")]
    torchscript = [path for path in others if path.suffix == ".pt"]
    variants = [path for path in others if path not in (*for_constructor, *torchscript)]
    values = {
        **_values(contract, exported, sha256),
        "preprocess": for_constructor,
        "torchscript": bool(torchscript),
        "variants": [path.stem for path in variants],
    }
    package, name = Path(values["package"]), values["name"]
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    templates = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    templates.filters["quoted"] = quoted
    for path, template in _places(values).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(templates.get_template(template).render(values))
    data = f"cmssw/{package}/{values['model_path']}"
    copies = [(exported, "model.onnx"), (exported, data), (exported, f"triton/{name}/1/model.onnx")]
    copies += [(path, str(Path(data).with_name(path.name))) for path in for_constructor]
    copies += [(path, "pytorch/model.pt") for path in torchscript]
    copies += [(path, f"variants/{path.name}") for path in variants]
    for source, copy in copies:
        (folder / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / copy)
    for output in contract.outputs:
        if len(output.columns) > 1:
            (folder / f"triton/{name}/{values['labels'][output.name]}").write_text("".join(f"{c}\n" for c in output.columns))


def _places(values: Mapping[str, Any]) -> dict[str, str]:
    """The templates by their place in the bundle: their own path, except where names of the model are part of it."""
    package, name = f"cmssw/{values['package']}", values["name"]
    elsewhere = {
        "cmssw/Producer.cc.jinja": f"{package}/plugins/{values['class_name']}.cc",
        "cmssw/BuildFile.xml": f"{package}/plugins/BuildFile.xml",
        "cmssw/cfg.py.jinja": f"{package}/test/{values['label']}_cfg.py",
        "cmssw/data.md.jinja": f"{package}/data/{name}/V01/README.md",
        "triton/config.pbtxt.jinja": f"triton/{name}/config.pbtxt",
    }
    files = [path for path in sorted(_TEMPLATES.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    templates = [path.relative_to(_TEMPLATES).as_posix() for path in files]
    if not values["torchscript"]:
        templates = [template for template in templates if not template.startswith("pytorch/")]
    return {elsewhere.get(template, template.removesuffix(".jinja")): template for template in templates}


def _write_checksums(folder: Path) -> None:
    listed = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = "".join(f"{file_sha256(path)}  {path.relative_to(folder)}\n" for path in listed)
    (folder / "SHA256SUMS").write_text(sums)


def _values(contract: Contract, exported: Path, sha256: str) -> dict[str, Any]:
    """What the templates say."""
    model = onnx.load(exported)
    metadata = model_metadata(model)
    inputs = contract.layout.inputs
    parameters, instances = distinct(list(inputs), parameter), distinct(list(inputs), camel)
    instances_of_columns = distinct(contract.columns, camel)
    package = camel(contract.run, capital=True)
    return {
        "run": contract.run,
        "name": contract.run,
        "class_name": f"{package}Producer",
        "label": camel(contract.run) + "Producer",
        "package": f"Cyclotrain/{package}",
        "model_path": f"data/{contract.run}/V01/model.onnx",
        "source": "ntuple",
        "model_sha256": sha256,
        "targets": metadata["targets"],
        "commit": metadata["commit"],
        "torch_version": metadata["software"]["torch"],
        "opset": model.opset_import[0].version,
        "ir_version": model.ir_version,
        "branches": [
            {"name": branch, "set": name or "", "parameter": parameters[branch], "instance": instances[branch]}
            for branch, name in inputs.items()
        ],
        "classes": [{"name": name, "instance": instances_of_columns[name]} for name in contract.classes],
        "columns": [{"name": name, "instance": instance} for name, instance in instances_of_columns.items()],
        "outputs": contract.outputs,
        "regression": contract.regression,
        "labels": {
            output.name: "labels.txt" if output.name == OUTPUT else f"labels_{output.name}.txt"
            for output in contract.outputs
            if len(output.columns) > 1
        },
        "instances": instances_of_columns,
        "tolerance_text": f"{tolerance(contract):.0e}".replace("e-0", "e-"),
    }
