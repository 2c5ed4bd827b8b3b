"""How far the answers of two implementations of a model are apart."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


def distance(answer: Array, expected: Array, scales: Sequence[float]) -> npt.NDArray[np.float64]:
    """The absolute difference of the columns of all outputs [n, n_columns].

    That of the last columns, which are regressed quantities with these `scales`, is in units of the scale, or of the expected
    value if it is larger: one tolerance serves GeV and ratios, and a value far larger than its scale has float32's precision.
    """
    expected = expected.astype(np.float64)
    difference = np.abs(answer.astype(np.float64) - expected)
    if len(scales):
        first = expected.shape[1] - len(scales)
        difference[:, first:] /= np.maximum(np.asarray(scales), np.abs(expected[:, first:]))
    return difference
