"""Four-vectors from the config to the graph."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cyclotrain.config import ModelConfig, load
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.export.to_onnx import export_network
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.networks.four_vectors import PADDING
from cyclotrain.parity.artefacts import Artefact
from support.toys import raw_config, skim_and_assemble, toys
from support.trained import Trained

BY_ANGLES = {"pt": "pf_pt", "eta": "pf_eta", "phi": "pf_phi", "mass": "0.14 * (pf_charge != 0)"}
BY_COMPONENTS = {
    "px": "px(pf_pt, pf_phi)", "py": "py(pf_pt, pf_phi)", "pz": "pz(pf_pt, pf_eta)", "energy": "2 * pf_pt * cosh(pf_eta)"
}  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    "particle_transformer": {"embedding": [16, 16], "heads": 2, "layers": 1, "pair": [8], "head": [16]},
    "particle_net": {"neighbours": 3, "layers": [[16, 16], [16, 16]], "pool": 16, "head": [16]},
}


def config(files: dict[str, str], name: str = "particle_net", four_vector: Any = BY_ANGLES, **of_set: Any) -> dict[str, Any]:
    raw = raw_config(files, model={"name": name, "options": NETWORKS.get(name, {})})
    raw["inputs"]["pf"] |= {"four_vector": four_vector, **of_set}
    return raw


@pytest.mark.parametrize("four_vector", [BY_ANGLES, BY_COMPONENTS])
def test_they_are_sorted_and_cut_with_the_features_in_either_way_of_writing(
    four_vector: dict[str, str], ingest: Any, toy_files: dict[str, str]
) -> None:
    _, contract, shards = ingest(config(toy_files, four_vector=four_vector, sort_by="pf_pt", max_length=4))
    batch = next(iter(Batches(read_split(shards, contract, "train"), contract.layout, 64)))
    _, masks, vectors = FeatureLayer(contract.layout)(batch.branches)
    pt = batch.branches["pf_pt"]
    order = pt.argsort(dim=1, descending=True, stable=True)[:, :4]
    pt, eta, phi, charge = (batch.branches[f"pf_{name}"].gather(1, order) for name in ("pt", "eta", "phi", "charge"))
    energy = ((pt * eta.cosh()) ** 2 + (0.14 * (charge != 0)) ** 2).sqrt() if "pt" in four_vector else 2 * pt * eta.cosh()
    expected = torch.where((pt > 0).unsqueeze(-1), torch.stack((pt, eta, phi, energy), -1), torch.tensor(PADDING))
    torch.testing.assert_close(masks["pf"], pt > 0)
    torch.testing.assert_close(vectors["pf"], expected, rtol=1e-5, atol=1e-6)


def test_only_a_network_that_uses_them_has_their_branches_as_inputs(toy_files: dict[str, str]) -> None:
    branches = {
        name: Recipe.from_config(load(config(toy_files, name, {**BY_ANGLES, "mass": "pf_mass"})), "signal").branches()
        for name in ("deep_sets", "particle_net")
    }
    assert set(branches["particle_net"]) - set(branches["deep_sets"]) == {"pf_mass"}


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_agrees_on_every_case_also_behind_a_preprocess_json(name: str, tmp_path: Path) -> None:
    raw = config(toys(tmp_path, n=300), name, max_length=4)
    raw["training"]["epochs"] = 1
    trained = Trained(*skim_and_assemble(raw, tmp_path), tmp_path / "out")
    paths = [tmp_path / "alone.onnx", tmp_path / "alone.json"]
    export_network(trained.model, targets=trained.config.export.targets, path=paths[0], preprocess=paths[1])
    result = trained.verify(others=[Artefact("network", str(paths[0]), 1e-5, str(paths[1]))])
    assert result.passed, result.failures
    assert all(session.cases > 60 for session in (*result.sessions("model"), *result.sessions("network")))


OWN = """
import torch
from torch import nn

class Base(nn.Module):
    takes = {"constituents": "needed", "four_vectors": "needed"}

class Nearest(Base):
    def __init__(self, sets, n_outputs, *, width, depth=1):
        super().__init__()
        self.out = nn.Linear(sets["pf"].n_features + 1, n_outputs)

    def forward(self, features, masks, vectors):
        mass = torch.where(masks["pf"], vectors["pf"][..., 3].log(), 0).sum(1, keepdim=True)
        return self.out(torch.cat((torch.where(masks["pf"].unsqueeze(-1), features["pf"], 0).sum(1), mass), 1))

class Flat(nn.Module):
    takes = {"constituents": "none"}

class Wrong(nn.Module):
    takes = {"four_vector": "needed"}

class Unreadable(nn.Module):
    takes = dict(flat="none")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of a user's networks."""
    module = f"own_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return module


def test_a_network_of_the_users_gets_them_if_its_class_says_so(own: str, tmp_path: Path) -> None:
    raw = config(toys(tmp_path, n=300), max_length=4) | {"model": {"name": f"{own}:Nearest", "options": {"width": 4}}}
    raw["training"]["epochs"] = 1
    trained = Trained(*skim_and_assemble(raw, tmp_path), tmp_path / "out")
    assert trained.contract.layout.sets["pf"].four_vector == ("pf_pt", "pf_eta", "pf_phi", load(raw).inputs["pf"].texts[-1])
    assert trained.verify().passed


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nowhere.to_be:Found", {}, "model.name: no module 'nowhere.to_be' is found; add its folder to PYTHONPATH"),
        ("OWN:Nearst", {}, "model.name: 'OWN' has no class 'Nearst'; did you mean 'Nearest'?"),
        ("OWN:Nearest", {}, "model.options: 'OWN:Nearest' needs the option 'width', which has no default"),
        ("OWN:Nearest", {"with": 4}, "model.options: 'OWN:Nearest' has no option 'with'; did you mean 'width'?"),
        ("OWN:Flat", {}, "model.name: 'OWN:Flat' takes no sets of constituents, and inputs.pf is one"),
        ("OWN:Wrong", {}, "'takes': must be a dictionary of these names, each 'needed', 'optional' or 'none'"),
        ("OWN:Unreadable", {}, "'takes': must be written as a literal"),
    ],
)
def test_what_a_network_of_the_users_cannot_take_is_told_in_the_plan(
    name: str, options: dict[str, int], message: str, own: str
) -> None:
    settings = load(config({"background": "b.root", "signal": "s.root"}))
    model = ModelConfig(name=name.replace("OWN", own), options=options)
    with pytest.raises(ValueError, match=r"^model\.") as error:
        model.check_inputs(settings.inputs)
    assert message.replace("OWN", own) in str(error.value)


def test_a_network_whose_class_and_forward_disagree_is_told(own: str, ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, _ = ingest(config(toy_files))
    from cyclotrain.networks.registry import Model

    with pytest.raises(ValueError, match="says that it takes four-vectors; write forward"):
        Model(contract, "deep_sets", ModelConfig(name="deep_sets").options)


def test_numbers_that_are_not_finite_leave_the_answer_finite(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, _ = ingest(config(toy_files))
    for value in (np.nan, np.inf, -np.inf, 1e30, 0.0):
        branches = {name: torch.full((2, 3 if owner else 1), value) for name, owner in contract.layout.inputs.items()}
        assert torch.isfinite(FeatureLayer(contract.layout)(branches).vectors["pf"]).all()
