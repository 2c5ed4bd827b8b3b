from typing import Any

import numpy as np
import pytest
import torch

from cyclotrain.data.batches import Batches, Rank, Shuffle
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
    batches = Batches(examples, contract.layout, 100, shuffle=Shuffle(1))
    orders = []
    for batches.epoch in (0, 1, 0):
        orders.append(torch.cat([batch.branches["jet_pt"].flatten() for batch in batches]))
    assert len(orders[0]) == len(examples)
    torch.testing.assert_close(orders[0].sort().values, orders[1].sort().values)
    assert (orders[0] != orders[1]).any()
    assert (orders[0] == orders[2]).all()


@pytest.mark.parametrize("ranks", [1, 3])
def test_no_rank_trains_on_a_batch_of_one_if_there_are_more(ranks: int, ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, shards = ingest(raw_config(toy_files))
    examples = read_split(shards, contract, "train")
    for rest in range(2 * ranks + 1):
        size = next(size for size in range(40, len(examples)) if len(examples) % size == rest)
        epochs = [
            list(Batches(examples, contract.layout, size, shuffle=Shuffle(1), rank=Rank(index, ranks))) for index in range(ranks)
        ]
        sizes = [[len(batch.label) for batch in epoch] for epoch in epochs]
        assert min(map(min, sizes)) >= 2
        assert sum(map(sum, sizes)) == len(examples)
        assert all(
            len(Batches(examples, contract.layout, size, shuffle=Shuffle(1), rank=Rank(0, ranks))) == len(s) for s in sizes
        )
        assert max(batch.n_all for batch in epochs[0]) <= size + rest
        if rest == 2 * ranks:  # the last batch stays as it is
            assert epochs[0][-1].n_all == rest
    (one,) = Batches(examples, contract.layout, len(examples) - 1, shuffle=Shuffle(1))
    assert len(one.label) == len(examples)
    assert [len(batch.label) for batch in Batches(examples, contract.layout, len(examples) - 1)] == [len(examples) - 1, 1]


def test_batches_of_like_length_pad_less_and_have_every_example_once_in_another_order_each_epoch(
    ingest: Any, toy_files: dict[str, str]
) -> None:
    _, contract, shards = ingest(raw_config(toy_files))
    examples = read_split(shards, contract, "train")
    batches = Batches(examples, contract.layout, 50, shuffle=Shuffle(1, bucket=True))
    plain = Batches(examples, contract.layout, 50, shuffle=Shuffle(1))
    orders, sizes = [], []
    for batches.epoch in (0, 1, 0):
        epoch = list(batches)
        orders.append(torch.cat([batch.branches["jet_pt"].flatten() for batch in epoch]))
        sizes.append([len(batch.label) for batch in epoch])
        assert len(epoch) == len(batches)
    torch.testing.assert_close(orders[0].sort().values, orders[1].sort().values)
    assert (orders[0] != orders[1]).any() and (orders[0] == orders[2]).all()
    assert max(sizes[0]) <= 52
    padded = [sum(batch.branches["pf_pt"].numel() for batch in order) for order in (batches, plain)]
    assert padded[0] < 0.85 * padded[1]
    of_one_pool = Batches(examples, contract.layout, 450, shuffle=Shuffle(1, bucket=True))
    lengths = [batch.branches["pf_pt"].shape[1] for batch in of_one_pool]
    assert lengths != sorted(lengths)  # the batches are shuffled


def test_ranks_share_the_batches_of_like_length(ingest: Any, toy_files: dict[str, str]) -> None:
    _, contract, shards = ingest(raw_config(toy_files))
    examples = read_split(shards, contract, "train")
    shuffle = Shuffle(1, bucket=True, accumulate=3)
    whole = list(Batches(examples, contract.layout, 64, shuffle=shuffle))
    parts = [list(Batches(examples, contract.layout, 64, shuffle=shuffle, rank=Rank(index, 2))) for index in range(2)]
    for batch, *of_ranks in zip(whole, *parts, strict=True):
        together = torch.cat([part.branches["jet_pt"].flatten() for part in of_ranks])
        torch.testing.assert_close(together.sort().values, batch.branches["jet_pt"].flatten().sort().values)
        assert {(part.n_all, part.n_step) for part in of_ranks} == {(batch.n_all, batch.n_step)}
    assert sum(3 * batch.n_step for batch in whole[::3]) == pytest.approx(len(examples))
