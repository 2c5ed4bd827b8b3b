"""The first layer of every model."""

from typing import Any

import numpy as np
import pytest
import torch

from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.networks.features import FeatureLayer
from support.toys import raw_config


@pytest.mark.parametrize(("clip", "limit"), [(None, np.inf), (3.0, 3.0)])
def test_features_stay_as_they_are_without_standardisation(
    clip: float | None, limit: float, ingest: Any, toy_files: dict[str, str]
) -> None:
    raw = raw_config(toy_files)
    raw["inputs"]["jet"] |= {"features": ["log(jet_pt)", "jet_pt"], "standardise": False, "clip": clip}
    _, contract, shards = ingest(raw)
    batch = next(iter(Batches(read_split(shards, contract, "train"), contract.layout, 64)))
    features = FeatureLayer(contract.layout)(batch.branches)[0]["jet"]
    jet_pt = batch.branches["jet_pt"][:, 0].numpy()
    assert jet_pt.max() > 10
    np.testing.assert_allclose(features, np.minimum(np.stack([np.log(jet_pt), jet_pt], 1), limit), rtol=1e-6)


def test_standardised_features_are_limited_to_ten_standard_deviations(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, _ = ingest(raw_config(toy_files))
    branches = {name: torch.full((1, 1), 1e6) for name in contract.layout.inputs}
    assert FeatureLayer(contract.layout)(branches)[0]["jet"].max() == 10
