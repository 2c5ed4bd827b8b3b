from typing import Any

import numpy as np
import torch

from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from support.toys import raw_config


def test_a_batch_holds_the_examples_zero_padded_to_the_longest(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, shards = ingest(raw_config(toy_files))
    examples = read_split(shards, contract, "test")
    constituents, offsets = examples.sets["pf"]
    rows = torch.tensor([5, 3, 8, 3, 40])
    batch = Batches(examples, contract.layout, 5).gather(rows)
    counts = np.diff(offsets)[rows]
    for column, branch in enumerate(contract.layout.sets["pf"].branches):
        padded = batch.branches[branch].numpy()
        assert padded.shape == (5, max(counts.max(), 1))
        for i, row in enumerate(rows.tolist()):
            np.testing.assert_array_equal(padded[i, : counts[i]], constituents[offsets[row] : offsets[row + 1], column])
            assert (padded[i, counts[i] :] == 0).all()
    np.testing.assert_array_equal(batch.label, examples.label[rows])


def test_empty_sets_are_padded_to_one(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, shards = ingest(raw_config(toy_files))
    examples = read_split(shards, contract, "test")
    empty = np.flatnonzero(np.diff(examples.sets["pf"][1]) == 0)
    batch = Batches(examples, contract.layout, 5).gather(torch.from_numpy(empty))
    assert batch.branches["pf_pt"].shape == (len(empty), 1)
    assert (batch.branches["pf_pt"] == 0).all()


def test_an_epoch_has_every_example_once_in_its_own_order(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, shards = ingest(raw_config(toy_files))
    examples = read_split(shards, contract, "train")
    batches = Batches(examples, contract.layout, 100, shuffle_seed=1)
    orders = []
    for batches.epoch in (0, 1, 0):
        orders.append(torch.cat([batch.branches["jet_pt"].flatten() for batch in batches]))
    assert len(orders[0]) == len(examples)
    torch.testing.assert_close(orders[0].sort().values, orders[1].sort().values)
    assert (orders[0] != orders[1]).any()
    assert (orders[0] == orders[2]).all()
