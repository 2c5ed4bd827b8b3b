"""Bundles of trained models, and what the drivers of their consumers need."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cyclotrain.config.export import ConsumerName
from cyclotrain.deploy.bundle import Parts, bundle
from cyclotrain.deploy.names import camel, distinct
from cyclotrain.deploy.reference import write_reference
from support.toys import jets, raw_config, skim_and_assemble, write_tree
from support.trained import Trained


def card_and_plots(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files in place of a model card and its plots; the bundle copies them unchanged."""
    page = folder / "page"
    page.mkdir(exist_ok=True)
    for name in ("model_card.md", "model_card.html", "roc.png"):
        (page / name).write_text(name)
    return [page / "model_card.md", page / "model_card.html"], [page / "roc.png"]


def deploy(trained: Trained, folder: Path, consumers: Sequence[ConsumerName], **others: Path) -> Path:
    """The bundle of a trained model for some consumers; `others`: forms of the model besides ONNX."""
    write_reference(trained.contract, trained.onnx, shards=trained.shards, folder=folder.with_name("reference"))
    parts = Parts({"onnx": trained.onnx, **others}, folder.with_name("reference"), *card_and_plots(folder.parent))
    bundle(trained.contract, consumers, parts, folder)
    return folder


# branches that are no names in C++, and that a map orders otherwise than people do
_ODD = ["lambda", "b-tag", "2nd jet", "µ_pt", "Z", "a\\b"]


def trained_with_odd_names(folder: Path) -> Trained:
    """A model of oddly named branches."""
    random = np.random.default_rng(1)
    paths = {}
    for index, name in enumerate(("background", "signal")):
        columns = jets(600, 11 + index, bool(index))
        columns |= {branch: random.normal(index, 1, 600).astype(np.float32) for branch in _ODD}
        paths[name] = write_tree(folder / f"{name}.root", {**columns, "set pt": columns["pf"]["pt"]})
    inputs = {
        "event": {"features": [f"`{branch}`" for branch in _ODD]},
        "pf": {"max_length": 4, "valid": "`set pt` > 0", "features": ["log(`set pt`)"]},
    }
    raw = raw_config(paths, inputs=inputs, training={"epochs": 1, "batch_size": 128})
    return Trained(*skim_and_assemble(raw, folder), folder / "out")


def producer_arguments(deployed: Path, trained: Trained, consumer: str) -> list[str | Path]:
    """Arguments of the driver of CMSSW's producers: folder of the model, reference vectors, and the product of each branch."""
    inputs = trained.contract.layout.inputs
    instances = distinct(list(inputs), camel)
    products = [(branch, instances[branch], "jagged" if name else "scalar") for branch, name in inputs.items()]
    return [deployed / consumer, deployed / "reference/reference.txt", *(part for product in products for part in product)]
