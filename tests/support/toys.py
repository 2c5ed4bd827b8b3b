"""Small real ROOT files of toy jets, and small configs for them."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from cyclotrain.config import Config, load
from cyclotrain.contract import Contract
from cyclotrain.data.assemble import assemble
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim
from cyclotrain.ingest.sources import resolve_files


def jets(n: int, seed: int = 0, is_signal: bool = False, max_constituents: int = 12) -> dict[str, Any]:
    """Branches of `n` toy jets, some without constituents; signal has harder and wider constituents."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, max_constituents + 1, n)
    total = int(counts.sum())

    def jagged(values: Any) -> ak.Array:
        return ak.unflatten(values, counts)

    return {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": random.integers(1, 50, n).astype(np.uint32),
        "event": random.permutation(n).astype(np.uint64) + np.uint64(1_000_000 * seed),
        "genWeight": random.uniform(0.5, 1.5, n).astype(np.float32),
        "isSignal": np.full(n, is_signal, np.int32),
        "jet_pt": random.uniform(500, 700, n).astype(np.float32),
        "jet_eta": random.uniform(-2, 2, n).astype(np.float32),
        "jet_phi": random.uniform(-np.pi, np.pi, n).astype(np.float32),
        "jet_mass": random.normal(120 if is_signal else 60, 25, n).astype(np.float32),
        "pf": ak.zip(
            {
                "pt": jagged((random.exponential(12 if is_signal else 8, total) + 0.5).astype(np.float32)),
                "eta": jagged(random.normal(0, 0.4 if is_signal else 0.2, total).astype(np.float32)),
                "phi": jagged(random.uniform(-np.pi, np.pi, total).astype(np.float32)),
                "charge": jagged(random.integers(-1, 2, total).astype(np.int32)),
            }
        ),
    }


def write_tree(path: Path, columns: dict[str, Any], tree: str = "Jets", rntuple: bool = False) -> str:
    """Write one TTree or RNTuple, the same branches in both, and return the path."""
    columns = {name: ak.Array(column) for name, column in columns.items()}
    if rntuple:
        flat = {}
        for name, column in columns.items():
            flat |= {f"{name}_{field}": column[field] for field in column.fields} if column.fields else {name: column}
        with uproot.recreate(path) as file:
            file.mkrntuple(tree, {name: column.type.content for name, column in flat.items()}).extend(flat)
        return str(path)
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: column.type for name, column in columns.items()}).extend(columns)
    return str(path)


def raw_config(files: dict[str, str], **changes: Any) -> dict[str, Any]:
    """A small config on toy jets: {"background": path, "signal": path}."""
    return {
        "run": "test",
        "samples": {name: {"files": [path], "tree": "Jets", "label": name} for name, path in files.items()},
        "weight": "genWeight",
        "classes": ["background", "signal"],
        "inputs": {
            "jet": {"features": ["log(jet_pt)", "abs(jet_eta)", "jet_mass / jet_pt"]},
            "pf": {
                "max_length": 8,
                "valid": "pf_pt > 0",
                "features": ["log(pf_pt / jet_pt)", "pf_eta", "delta_phi(pf_phi, jet_phi)", "pf_charge == 0"],
            },
        },
        "model": {"name": "deep_sets", "options": {"phi": [16, 16], "rho": [16]}},
        "training": {"epochs": 3, "batch_size": 128},
        **changes,
    }


def with_regression(raw: dict[str, Any]) -> dict[str, Any]:
    """The config with three quantities: of signal alone, of another scale, and as quantiles."""
    regression = {
        "true_mass": {"target": "jet_mass", "classes": ["signal"], "against": ["jet_pt"]},
        "far": {"target": "1e4 * jet_pt", "loss": "log_cosh", "weight": 0.5},
        "ratio": {
            "target": "1 + abs(jet_mass) / jet_pt", "loss": "quantile", "quantiles": [0.16, 0.5, 0.84], "response": "ratio",
            "against": ["jet_pt", "jet_eta"],
        },
    }  # fmt: skip
    return {**raw, "regression": regression}


def without_classes(raw: dict[str, Any]) -> dict[str, Any]:
    """The config of `with_regression` with no classes."""
    regression = {name: {k: v for k, v in q.items() if k != "classes"} for name, q in raw["regression"].items()}
    samples = {name: {k: v for k, v in sample.items() if k != "label"} for name, sample in raw["samples"].items()}
    return {**{k: v for k, v in raw.items() if k != "classes"}, "regression": regression, "samples": samples}


def toys(folder: Path, n: int = 1500) -> dict[str, str]:
    """Toy jets of two classes on disk, `n` of each, for `raw_config`."""
    return {
        "background": write_tree(folder / "background.root", jets(n, 1)),
        "signal": write_tree(folder / "signal.root", jets(n, 2, is_signal=True)),
    }


def skim_and_assemble(raw: dict[str, Any], folder: Path, parent: Path | None = None) -> tuple[Config, Contract, list[str]]:
    """Load a config, skim its samples and assemble; gives the config, the contract and the shards.

    Shards of data and of variations, which are not assembled, are `{sample}.arrow` in the same folder.

    `parent`: the contract of the training whose weights this one begins with.
    """
    config = load(raw)
    shards, receipts = [], []
    for name, files in resolve_files(config).items():
        shard, receipt = (str(folder / f"{name}.{suffix}") for suffix in ("arrow", "json"))
        skim(Recipe.from_config(config, name), files, friends={}, skip_broken=False, shard=shard, receipt=receipt)
        if name in config.nominal_samples:
            shards.append(shard)
            receipts.append(receipt)
    path = folder / "contract.json"
    recipe = DatasetRecipe.from_config(config, fold=None)
    assemble(recipe, receipts=receipts, shards=shards, contract=path, dataset=folder / "dataset.json", parent=parent)
    return config, Contract.read(path), shards
