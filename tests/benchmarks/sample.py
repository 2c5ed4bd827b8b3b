"""The demo's jets, repeated to a size that can be timed, as a TTree or an RNTuple with any compression, with and without
their constituents."""

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
# Half a GB and more, as files are that are skimmed: of a small one, the start and the first batch are much of the time.
LARGE_COPIES, FLAT_COPIES = 168, 4000


@dataclass(frozen=True)
class Sample:
    """The demo's config on `files`, one a sample, of COPIES times the simulated jets; `columns`: the jets of the first once."""

    config: Config
    files: dict[str, str]
    columns: Any

    def write(self, path: Path, copies: int = LARGE_COPIES, compression: Any = None, rntuple: bool = False) -> str:
        """Another file of the first sample's jets."""
        return _write(self.columns, path, copies, compression or uproot.ZSTD(3), rntuple)

    def write_flat(self, path: Path, compression: Any = None, rntuple: bool = False) -> str:
        """A file of 12 million jets without constituents."""
        columns = self.columns[[branch for branch in self.columns.fields if not branch.startswith(("pf_", "npf"))]]
        return _write(columns, path, FLAT_COPIES, compression or uproot.ZSTD(3), rntuple)


def make(folder: Path) -> Sample:
    """Simulate, and write the files."""
    raw = yaml.safe_load(Path("config/config.yaml").read_text())
    files, first = {}, None
    for run, (name, sample) in enumerate(raw["samples"].items()):
        once = folder / "once.root"
        simulate(sample["simulate"]["process"], JETS, run, 0, 1, once)
        with uproot.open(once) as source:
            columns = source[JETS_TREE].arrays()
        files[name] = _write(columns, folder / f"{name}.root", COPIES, uproot.ZSTD(3), rntuple=False)
        first = columns if first is None else first
        raw["samples"][name] = {"files": [files[name]], "tree": JETS_TREE, "label": sample["label"]}
    return Sample(load(raw), files, first)


def flat(config: Config) -> Config:
    """The same with the jet-level features of the boosted trees alone, and `mlp`."""
    return config.model_copy(
        update={"inputs": {"jet": InputSetConfig(features=list(config.baseline_features))}, "model": ModelConfig(name="mlp")}
    )


def _write(columns: Any, path: Path, copies: int, compression: Any, rntuple: bool) -> str:
    of_jet = [branch for branch in columns.fields if not branch.startswith("pf_") and branch != "npf"]
    constituents = [branch for branch in columns.fields if branch.startswith("pf_")]
    entries = {branch: columns[branch] for branch in of_jet}
    with uproot.recreate(path, compression=compression) as target:
        if rntuple:
            entries |= {branch: columns[branch] for branch in constituents}
            tree = target.mkrntuple(JETS_TREE, {b: column.type.content for b, column in entries.items()})
        else:
            if constituents:
                entries["pf"] = ak.zip({b.removeprefix("pf_"): columns[b] for b in constituents})
            tree = target.mktree(JETS_TREE, {b: column.type for b, column in entries.items()})
        at_once = 2 if constituents else 40  # baskets, or clusters, of about 10 MB, as ROOT makes them
        random = np.random.default_rng(0)
        for first in range(0, copies, at_once):
            repeated = {b: ak.concatenate([column] * min(at_once, copies - first)) for b, column in entries.items()}
            tree.extend({b: ak.transform(_vary(random), column) for b, column in repeated.items()})
    return str(path)


def _vary(random: np.random.Generator) -> Any:
    """What makes copies differ, which would compress too well, by a thousandth."""

    def vary(layout: Any, **_: Any) -> Any:
        if not (layout.is_numpy and layout.dtype == np.float32):
            return None
        noise = random.standard_normal(len(layout), np.float32)
        return ak.contents.NumpyArray(layout.data * (1 + np.float32(1e-3) * noise))

    return vary
