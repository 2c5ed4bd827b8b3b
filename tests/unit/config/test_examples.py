"""The configs of `config/examples/`: each is right, and those on public sets work on files with the branches of these sets."""

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import yaml

from cyclotrain.config import Config, load
from cyclotrain.ingest.recipe import Recipe
from support import REPOSITORY
from support.toys import skim_and_assemble, write_tree

EXAMPLES = sorted((REPOSITORY / "config/examples").glob("*.yaml"))


def example(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((REPOSITORY / f"config/examples/{name}.yaml").read_text())
    return raw


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_config(path: Path) -> None:
    assert load(yaml.safe_load(path.read_text())).run
    assert path.read_text().startswith("# yaml-language-server: $schema=../../workflow/schemas/config.schema.json\n")


# the branches that the public sets have, as far as the examples may use them
PUBLIC = {
    "jetclass": "part_px part_py part_pz part_energy part_deta part_dphi part_d0val part_d0err part_dzval part_dzerr part_charge "
    "part_isChargedHadron part_isNeutralHadron part_isPhoton part_isElectron part_isMuon label_QCD label_Hbb label_Hcc label_Hgg "
    "label_H4q label_Hqql label_Zqq label_Wqq label_Tbqq label_Tbl jet_pt jet_eta jet_phi jet_energy jet_nparticles jet_sdmass "
    "jet_tau1 jet_tau2 jet_tau3 jet_tau4",
    "top_tagging": "part_px part_py part_pz part_energy jet_px jet_py jet_pz jet_energy is_top",
}


def branches(config: Config, names: str, n: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    counts, label = random.integers(0, 60, n), random.integers(0, len(config.classes), n)
    columns: dict[str, Any] = {}
    for name in names.split():
        of = int(counts.sum()) if name.startswith("part_") else n
        positive = name.endswith(("energy", "pt", "d0err", "dzerr", "particles")) or "tau" in name
        values: Any = (random.exponential(20, of) + 0.1 if positive else random.normal(0, 2, of)).astype(np.float32)
        if name.startswith("label_"):
            values = (label == config.classes.index(name.removeprefix("label_"))).astype(np.float32)
        elif name == "is_top":
            values = label.astype(np.int32)
        columns[name] = ak.unflatten(values, counts) if name.startswith("part_") else values
    part = {name.removeprefix("part_"): columns.pop(name) for name in list(columns) if name.startswith("part_")}
    return {"part": ak.zip(part), **columns}


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_on_a_public_set_works_on_its_branches(name: str, tmp_path: Path) -> None:
    raw = example(name)
    config = load(raw)
    for seed, (split, sample) in enumerate(raw["samples"].items()):
        sample["files"] = [write_tree(tmp_path / f"{split}.root", branches(config, PUBLIC[name], 300, seed), sample["tree"])]
        assert set(Recipe.from_config(config, split).branches()) <= set(PUBLIC[name].split())
    config, contract, _ = skim_and_assemble(raw, tmp_path)
    assert list(contract.classes) == config.classes
    assert {split: sample["split"] for split, sample in raw["samples"].items()} == {s: s for s in ("train", "validation", "test")}
    assert all(std > 0 for std in contract.layout.sets["part"].std)
