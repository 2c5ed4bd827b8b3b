"""Narrow bins of a score, for what is summed block by block: cumulative distributions of a sample of any size."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]

N_BINS = 2**16
_LIMIT = 32.0  # of log(p / q); float32 tells no probability from 1 beyond 17


def score_bin(p: Floats, q: Floats) -> npt.NDArray[np.int64]:
    """The bin [n] of the score p / (p + q), from two sums of probabilities [n].

    The bins have equal widths in log(p / q), 0.001: in the middle, a bin is a quarter of a thousandth of the score wide, and near
    0 and 1 a thousandth of the distance to the end.
    """
    tiny = np.finfo(np.float32).tiny
    log_odds = np.log(np.maximum(p, tiny, dtype=np.float64)) - np.log(np.maximum(q, tiny, dtype=np.float64))
    index = np.floor((log_odds + _LIMIT) * (N_BINS / (2 * _LIMIT))).astype(np.int64)
    return np.clip(index, 0, N_BINS - 1)


def lower_edge(index: int) -> float:
    """The score at the lower edge of a bin; 0 for the first, which has no lower end."""
    return float(1 / (1 + np.exp(_LIMIT - index * (2 * _LIMIT / N_BINS)))) if index else 0.0


def hardest_cut(sums: Doubles, efficiency: float) -> int | None:
    """The last bin from which on the bins have at least this share of the sums [N_BINS]; None if the sum of all is not positive.

    With negative weights, the share can fall as the cut gets looser: the hardest cut that reaches it counts.
    """
    passing = np.cumsum(sums[::-1])[::-1]
    if passing[0] <= 0:
        return None
    return int(np.flatnonzero(passing >= efficiency * passing[0])[-1])
