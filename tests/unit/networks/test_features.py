"""The first layer of every model."""

from typing import Any

import numpy as np

from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.networks.features import FeatureLayer
from support.toys import raw_config


def test_features_stay_as_they_are_without_standardisation(ingest: Any, toy_files: dict[str, str]) -> None:
    raw = raw_config(toy_files)
    raw["inputs"]["jet"] |= {"standardise": False, "clip": 3.0}
    _, contract, shards = ingest(raw)
    batch = next(iter(Batches(read_split(shards, contract, "train"), contract.layout, 64)))
    features = FeatureLayer(contract.layout)(batch.branches)[0]["jet"]
    np.testing.assert_allclose(features[:, 0], np.minimum(np.log(batch.branches["jet_pt"][:, 0].numpy()), 3.0), rtol=1e-6)
