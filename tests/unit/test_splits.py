import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.splits import event_hash, split_index

FRACTIONS = {"train": 0.6, "validation": 0.1, "test": 0.3}


def test_shares_are_the_fractions() -> None:
    n = 200_000
    index = split_index(event_hash([np.ones(n, np.uint32), np.arange(n) // 100, np.arange(n)], seed=1), FRACTIONS)
    assert np.abs(np.bincount(index) / n - [0.6, 0.1, 0.3]).max() < 0.005


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=50), st.integers(0, 1000))
def test_the_split_of_an_event_does_not_depend_on_its_neighbours_or_the_type_of_its_number(events: list[int], seed: int) -> None:
    unsigned, signed = np.array(events, np.uint64), np.array(events, np.int64)
    together = event_hash([unsigned], seed)
    assert (together == event_hash([signed], seed)).all()
    assert together[-1] == event_hash([unsigned[-1:]], seed)[0]
    assert (event_hash([unsigned[::-1]], seed)[::-1] == together).all()


def test_another_seed_gives_another_split() -> None:
    events = np.arange(1000)
    assert (split_index(event_hash([events], 1), FRACTIONS) != split_index(event_hash([events], 2), FRACTIONS)).any()


def test_zero_and_minus_zero_are_one_event() -> None:
    hashes = event_hash([np.array([0.0, -0.0], np.float32)], 1)
    assert hashes[0] == hashes[1]
