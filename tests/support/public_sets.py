"""Small files in the layouts of the public data sets, written as their authors wrote them."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cyclotrain.fetch.higgs import FEATURES
from cyclotrain.fetch.top_tagging import CONSTITUENTS


def top_tagging_h5(path: Path, n: int, seed: int = 1) -> pd.DataFrame:
    """Jets in a pandas table with four-vectors of float32, compressed by blosc; tops have more constituents."""
    random = np.random.default_rng(seed)
    is_top = random.integers(0, 2, n)
    counts = random.integers(1, 40, n) + 20 * is_top
    is_real = np.arange(CONSTITUENTS) < counts[:, None]
    p = random.normal(0, 20, (n, CONSTITUENTS, 3)) + np.array([30.0, 0, 0])
    vectors = np.concatenate([np.linalg.norm(p, axis=2, keepdims=True), p], 2).astype(np.float32) * is_real[:, :, None]
    names = [f"{name}_{i}" for i in range(CONSTITUENTS) for name in ("E", "PX", "PY", "PZ")]
    table = pd.DataFrame(vectors.reshape(n, -1), columns=names)
    table = table.assign(truthE=np.float32(0), ttv=np.int64(0), is_signal_new=is_top.astype(np.int64))
    table.to_hdf(path, key="table", format="table", complib="blosc", complevel=5)
    return table


def quark_gluon_npz(path: Path, n: int, seed: int = 1) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """X [n, M, 4] of (pt, y, phi, PDG id) with zero padding, and y [n]; gluons have more particles."""
    random = np.random.default_rng(seed)
    is_quark = random.integers(0, 2, n).astype(np.float64)
    counts = random.integers(5, 40, n) + (20 * (1 - is_quark)).astype(int)
    is_real = np.arange(counts.max()) < counts[:, None]
    shape = is_real.shape
    pid = random.choice([211, -211, 22, 130, 11, -13, 2212, 321], shape)
    x = np.stack([random.exponential(10, shape) + 0.1, random.normal(0, 0.5, shape), random.normal(3, 0.2, shape), pid], 2)
    x *= is_real[:, :, None]
    np.savez_compressed(path, X=x, y=is_quark)
    return x, is_quark


def higgs_csv(path: Path, n: int, seed: int = 1) -> npt.NDArray[np.float32]:
    """[n, 29]: the label and the features, as text with 19 digits."""
    random = np.random.default_rng(seed)
    table: npt.NDArray[Any] = np.abs(random.normal(1, 0.5, (n, 1 + len(FEATURES)))).astype(np.float32)
    table[:, 0] = random.integers(0, 2, n)
    table[:, -3] += table[:, 0]  # m_bb
    with gzip.open(path, "wt") as file:
        np.savetxt(file, table, fmt="%.18e", delimiter=",")
    return table
