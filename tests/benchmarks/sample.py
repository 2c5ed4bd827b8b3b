"""The demo's jets, repeated to a size that can be timed; as TTree or RNTuple, with any compression, with or without
constituents."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
import yaml

from cyclotrain.config import Config, InputSetConfig, ModelConfig, load
from cyclotrain.demo.branches import JETS_TREE
from cyclotrain.demo.simulate import simulate

JETS, COPIES = 3000, 56
# Half a GB or more, like real input files: in a small file, the start and the first batch take much of the time.
LARGE_COPIES, FLAT_COPIES = 168, 4000
FIRST = 12_000


@dataclass(frozen=True)
class Sample:
    """The demo's config on `files`, one per sample, each with COPIES times its simulated jets.

    `columns`: the simulated jets of the first sample.
    """

    config: Config
    files: dict[str, str]
    columns: Any

    def write(self, path: Path, *, copies: int = LARGE_COPIES, compression: Any = None, rntuple: bool = False) -> str:
        """Write another file with the jets of the first sample."""
        return _write(self.columns, path, copies=copies, compression=compression, rntuple=rntuple)

    def first(self, folder: Path) -> dict[str, str]:
        """Write a file with the first 12,000 jets of each sample: enough for steps of a training."""
        files = {}
        for name, path in self.files.items():
            with uproot.open(path) as source:
                files[name] = _write(source[JETS_TREE].arrays(entry_stop=FIRST), folder / f"{name}_first.root", copies=1)
        return files

    def write_flat(self, path: Path, *, compression: Any = None, rntuple: bool = False) -> str:
        """Write a file of 12 million jets without constituents."""
        columns = self.columns[[branch for branch in self.columns.fields if not branch.startswith(("pf_", "npf"))]]
        return _write(columns, path, copies=FLAT_COPIES, compression=compression, rntuple=rntuple)


def make(folder: Path) -> Sample:
    """Simulate the jets and write the files."""
    raw = yaml.safe_load(Path("config/config.yaml").read_text())
    files, first = {}, None
    # without further jets of the test split: the splits do not matter here
    raw["samples"] = {name: sample for name, sample in raw["samples"].items() if "split" not in sample}
    raw["event_id"] = "entry"  # the copies of a jet have the same event
    for run, (name, sample) in enumerate(raw["samples"].items()):
        once = folder / "once.root"
        simulate(once, process=sample["simulate"]["process"], n_jets=JETS, run=run, part=0, seed=1)
        with uproot.open(once) as source:
            columns = source[JETS_TREE].arrays()
        files[name] = _write(columns, folder / f"{name}.root", copies=COPIES)
        first = columns if first is None else first
        raw["samples"][name] = {"files": [files[name]], "tree": JETS_TREE, "label": sample["label"]}
    return Sample(load(raw), files, first)


def flat(config: Config) -> Config:
    """The config with only the jet-level features of the boosted trees, and `mlp`."""
    return config.model_copy(
        update={"inputs": {"jet": InputSetConfig(features=list(config.baseline_features))}, "model": ModelConfig(name="mlp")}
    )


def _write(columns: Any, path: Path, *, copies: int, compression: Any = None, rntuple: bool = False) -> str:
    jet_branches = [branch for branch in columns.fields if not branch.startswith("pf_") and branch != "npf"]
    constituents = [branch for branch in columns.fields if branch.startswith("pf_")]
    entries = {branch: columns[branch] for branch in jet_branches}
    with uproot.recreate(path, compression=compression or uproot.ZSTD(3)) as target:
        if rntuple:
            entries |= {branch: columns[branch] for branch in constituents}
            tree = target.mkrntuple(JETS_TREE, {b: column.type.content for b, column in entries.items()})
        else:
            if constituents:
                entries["pf"] = ak.zip({b.removeprefix("pf_"): columns[b] for b in constituents})
            tree = target.mktree(JETS_TREE, {b: column.type for b, column in entries.items()})
        at_once = 2 if constituents else 40  # about 10 MB per basket or cluster, as in files from ROOT
        random = np.random.default_rng(0)
        for first in range(0, copies, at_once):
            repeated = {b: ak.concatenate([column] * min(at_once, copies - first)) for b, column in entries.items()}
            tree.extend({b: ak.transform(_vary(random), column) for b, column in repeated.items()})
    return str(path)


def _vary(random: np.random.Generator) -> Any:
    """Vary values by about a thousandth, because identical copies would compress too well."""

    def vary(layout: Any, **_: Any) -> Any:
        if not (layout.is_numpy and layout.dtype == np.float32):
            return None
        noise = random.standard_normal(len(layout), np.float32)
        return ak.contents.NumpyArray(layout.data * (1 + np.float32(1e-3) * noise))

    return vary
