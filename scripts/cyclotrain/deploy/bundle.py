"""The deployment bundle: one folder with the model and what each of its consumers needs."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from cyclotrain.config.export import ConsumerName
from cyclotrain.contract import OUTPUT, Contract
from cyclotrain.contract.metadata import model_metadata
from cyclotrain.contract.results import AOT_INDUCTOR, TORCHSCRIPT
from cyclotrain.core.files import atomic_folder, file_sha256
from cyclotrain.deploy.consumers import CONSUMERS
from cyclotrain.deploy.consumers.consumer import Making, templates
from cyclotrain.deploy.names import camel, distinct, parameter
from cyclotrain.deploy.tolerance import tolerance
from cyclotrain.runtimes.instruction_sets import level_of
from cyclotrain.runtimes.packages import needed_glibc
from cyclotrain.runtimes.targets import AOT_INDUCTOR_SINCE

_TEMPLATES = Path(__file__).parent / "templates"
_ROW = ("purpose", "check_it")  # of a consumer, in the table of the README
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a bundle is made of: files, and the folder of the reference vectors.

    `forms`: the files of the model by their form: `onnx` in any case; `network`, `preprocess`, `torchscript` and those of
    AOT_INDUCTOR, where the config asks for them. `variants`: those of other numbers. `cards` and `plots`: the model card and the
    figures that it names. `working_points`: thresholds of the score; none without classes.
    """

    forms: Mapping[str, str | Path]
    reference: str | Path
    cards: Sequence[str | Path]
    plots: Sequence[str | Path]
    variants: Sequence[str | Path] = ()
    working_points: Sequence[str | Path] = ()


def bundle(contract: Contract, consumers: Sequence[ConsumerName], parts: Parts, folder: str | Path) -> None:
    """Write the bundle for some consumers into `folder`, whole or not at all."""
    forms = {form: Path(path) for form, path in parts.forms.items()}
    variants = [Path(path) for path in parts.variants]
    values = {
        **_values(contract, forms["onnx"]),
        "forms": list(forms),
        "torch_files": _torch_files(forms),
        "variants": [path.stem for path in variants],
    }
    with atomic_folder(folder) as temporary:
        _write_common(values, temporary, consumers=consumers)
        for name in consumers:
            (temporary / name).mkdir()
            CONSUMERS[name].write(Making(name, temporary / name, contract, values, forms))
        copies: dict[str, Sequence[str | Path]] = {
            "": [forms["onnx"], *parts.cards],
            "variants": variants,
            "plots": parts.plots,
            "working_points": parts.working_points,
        }
        for place, paths in copies.items():
            for path in paths:
                (temporary / place).mkdir(exist_ok=True)
                shutil.copyfile(path, temporary / place / Path(path).name)
        for form, file in _torch_files(forms).items():
            shutil.copyfile(forms[form], temporary / "pytorch" / file)
        shutil.copytree(parts.reference, temporary / "reference", dirs_exist_ok=True)
        _write_checksums(temporary)
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    _log.info("%s: %d files, %.1f MB", folder, len(files), sum(path.stat().st_size for path in files) / 1e6)


def _write_common(values: Mapping[str, Any], folder: Path, *, consumers: Sequence[ConsumerName]) -> None:
    """The README of the bundle, the check of the reference vectors, and what users of LibTorch must know."""
    environment = templates(_TEMPLATES)
    rows = [
        {"name": name, **{part: environment.from_string(getattr(CONSUMERS[name], part)).render(values) for part in _ROW}}
        for name in consumers
    ]
    places = {"README.md.jinja": {**values, "consumers": rows}, "reference/check.py.jinja": values}
    if values["torch_files"]:
        places["pytorch/README.md.jinja"] = values
    for template, given in places.items():
        path = folder / template.removesuffix(".jinja")
        path.parent.mkdir(exist_ok=True)
        path.write_text(environment.get_template(template).render(given))


def _torch_files(forms: Mapping[str, Path]) -> dict[str, str]:
    """The names in the bundle of the forms for LibTorch; that of a compiled one says where it runs."""
    names = {TORCHSCRIPT: "model.pt"} if TORCHSCRIPT in forms else {}
    for form in AOT_INDUCTOR:
        if form in forms:
            level = level_of(form).replace("x86-64", "x86_64")
            names[form] = f"model-{level}-glibc{needed_glibc(forms[form])}-torch{AOT_INDUCTOR_SINCE}.pt2"
    return names


def _write_checksums(folder: Path) -> None:
    listed = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = "".join(f"{file_sha256(path)}  {path.relative_to(folder)}\n" for path in listed)
    (folder / "SHA256SUMS").write_text(sums)


def _values(contract: Contract, exported: Path) -> dict[str, Any]:
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
        "model_sha256": file_sha256(exported),
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
