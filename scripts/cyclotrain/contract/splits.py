"""The split of each event: a hash of its identity decides, not its place in a file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "validation", "test")
ENTRY = "entry"  # as `event_id`: the file and the entry number identify an event, for trees without event numbers
_BLOCK = 16384  # events hashed at a time; they fit into the processor's cache


def identifying_branches(event_id: Sequence[str]) -> tuple[str, ...]:
    """The branches in an `event_id`: a list of branches, or the word `entry`, which needs none."""
    return () if event_id == ENTRY else tuple(event_id)


def event_hash(columns: Sequence[npt.NDArray[np.generic]], seed: int) -> npt.NDArray[np.uint64]:
    """A hash of each event's identity, uniform over 64 bits.

    `columns` [n_events] each: what identifies an event, usually run, luminosity block and event. A whole number is hashed by its
    value, whatever the branch's type, any other number by its bits as double. The mixing function is splitmix64 (Steele, Lea,
    Flood, OOPSLA 2014).
    """
    hashes = np.empty(len(columns[0]), np.uint64)
    for start in range(0, len(hashes), _BLOCK):
        state = np.array([seed], np.uint64)
        for column in columns:
            part = column[start : start + _BLOCK]
            if part[0] == part[-1] and (part == part[0]).all():  # such as run and luminosity block: mix one value for all
                part = part[:1]
            state = state ^ _bits(part)
            _splitmix64(state)
        hashes[start : start + _BLOCK] = state
    return hashes


def split_index(hashes: npt.NDArray[np.uint64], fractions: Mapping[str, float]) -> npt.NDArray[np.uint8]:
    """The split of each event as an index into SPLITS; `fractions` are the shares of the splits, with the sum 1."""
    index = np.zeros(len(hashes), np.uint8)
    for edge in np.cumsum([fractions[name] for name in SPLITS])[:-1]:
        index += (hashes >= int(edge * 2.0**64)).view(np.uint8)
    return index


def chance_of_share(deviation: float, share: float, *, sum_of_squares: int, most: int) -> float:
    """An upper bound on the probability that a split differs from its expected number of examples by `deviation` or more.

    It is for independent events, each of which is in the split with the probability `share`. `sum_of_squares`: over events, of
    the number of examples; `most`: the largest number of examples of an event. This is Bernstein's inequality.
    """
    variance = share * (1 - share) * sum_of_squares
    return 2 * math.exp(-(deviation**2) / 2 / (variance + most * deviation / 3))


@dataclass(frozen=True)
class Fold:
    """Training `index` of `of`: each is tested on another part of the events. `validation`: its share of the other events."""

    index: int
    of: int
    validation: float

    @property
    def shares(self) -> dict[str, float]:
        """The share of each split in this fold."""
        test = 1 / self.of
        return {"train": (1 - test) * (1 - self.validation), "validation": (1 - test) * self.validation, "test": test}

    def split_index(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
        """The split of each event in this fold, as an index into SPLITS."""
        within = _uniform(hashes) * self.of
        rest = np.where(within - np.floor(within) < self.validation, SPLITS.index("validation"), SPLITS.index("train"))
        return np.where(fold_index(hashes, self.of) == self.index, SPLITS.index("test"), rest).astype(np.uint8)


def fold_index(hashes: npt.NDArray[np.uint64], n_folds: int) -> npt.NDArray[np.int64]:
    """The fold that tests each event, so its model has not seen the event in training."""
    return np.minimum(np.floor(_uniform(hashes) * n_folds), n_folds - 1).astype(np.int64)


def _uniform(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    return hashes.astype(np.float64) / 2.0**64


def _bits(column: npt.NDArray[np.generic]) -> npt.NDArray[np.uint64]:
    if column.dtype.kind == "f":
        values = column.astype(np.float64) + 0.0  # turns -0.0 into 0.0
        is_whole = (values == np.trunc(values)) & (np.abs(values) < 2.0**53)
        return np.where(is_whole, np.where(is_whole, values, 0).astype(np.int64), values.view(np.int64)).view(np.uint64)
    return column.astype(np.int64).view(np.uint64) if column.dtype.kind == "i" else column.astype(np.uint64)


def _splitmix64(x: npt.NDArray[np.uint64]) -> None:
    """Mix in place."""
    x += np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
