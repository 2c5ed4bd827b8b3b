import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.contract.splits import chance_of_share, event_hash, split_index

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
    assert (together == event_hash([unsigned.astype(np.float64)], seed)).all()
    assert together[-1] == event_hash([unsigned[-1:]], seed)[0]
    assert (event_hash([unsigned[::-1]], seed)[::-1] == together).all()
    columns = [np.ones(len(unsigned)), unsigned % 2, unsigned]
    one_by_one = [event_hash([column[i : i + 1] for column in columns], seed)[0] for i in range(len(unsigned))]
    assert event_hash(columns, seed).tolist() == one_by_one


def test_fractional_numbers_have_different_hashes() -> None:
    assert len(set(event_hash([np.linspace(0, 1, 1000)], 1).tolist())) == 1000


def test_another_seed_gives_another_split() -> None:
    events = np.arange(1000)
    assert (split_index(event_hash([events], 1), FRACTIONS) != split_index(event_hash([events], 2), FRACTIONS)).any()


def test_zero_and_minus_zero_are_one_event() -> None:
    hashes = event_hash([np.array([0.0, -0.0], np.float32)], 1)
    assert hashes[0] == hashes[1]


def test_the_hash_is_splitmix64_at_any_position_so_splits_never_change() -> None:
    # the first output with seed 1234567: rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    assert event_hash([np.zeros(1, np.uint64)], 1234567)[0] == 6457827717110365317
    n = 40_000
    columns = [np.ones(n, np.uint32), np.arange(n)]
    rows = [0, 16383, 16384, n - 1]
    assert event_hash([column[rows] for column in columns], 7).tolist() == event_hash(columns, 7)[rows].tolist()


def test_an_event_on_an_edge_is_in_the_later_split() -> None:
    halves = {"train": 0.5, "validation": 0.0, "test": 0.5}
    assert split_index(np.array([0, 2**63 - 2**20, 2**63], np.uint64), halves).tolist() == [0, 0, 2]


@pytest.mark.parametrize("share", [0.05, 0.4])
@pytest.mark.parametrize("most", [1, 9])
def test_the_bound_on_the_chance_of_a_share_holds_and_is_not_far_off(share: float, most: int) -> None:
    random = np.random.default_rng(1)
    examples = random.integers(1, most + 1, 300)
    split = (random.random((20_000, 300)) < share) @ examples
    off = np.abs(split - share * examples.sum())
    spread = off.std()
    for deviation in (2 * spread, 3 * spread, 4 * spread):
        bound = chance_of_share(deviation, share, sum_of_squares=int((examples**2).sum()), most=int(examples.max()))
        assert (off >= deviation).mean() <= bound
    assert chance_of_share(8 * split.std(), share, sum_of_squares=int((examples**2).sum()), most=int(examples.max())) < 1e-5
