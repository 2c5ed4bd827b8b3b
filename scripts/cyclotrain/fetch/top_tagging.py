"""Top tagging: a pandas table with E_0, PX_0, PY_0, PZ_0, ..., E_199, ... for each jet, padded by zeros."""

from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import uproot

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic

CONSTITUENTS = 200
_COLUMNS = {"px": "PX", "py": "PY", "pz": "PZ", "energy": "E"}
_JETS_PER_STEP = 20_000  # 64 MB of four-vectors


def top_tagging_to_root(published: Path, folder: Path) -> None:
    """Write `published`, such as train.h5, as train.root into `folder`.

    The tree `Jets` has `part_px`, `part_py`, `part_pz`, `part_energy` without the padding, the sums `jet_px` and so on over all
    constituents, all in GeV, and `is_top`. Raises InputError for a file of another kind.
    """
    wanted = [f"{column}_{i}" for column in _COLUMNS.values() for i in range(CONSTITUENTS)]
    try:
        store = pd.HDFStore(published, mode="r")
    except Exception as error:  # PyTables has an error type of its own for each kind of damage
        raise InputError(f"'{published}' cannot be read as HDF5 ({error}); delete it, and fetch it again") from error
    with (
        store,
        atomic(folder / f"{published.stem}.root") as temporary,
        uproot.recreate(temporary, compression=uproot.ZSTD(3)) as file,
    ):
        if "table" not in store:
            raise InputError(f"'{published}' has no 'table'; it is not of the top tagging reference data set")
        n = store.get_storer("table").nrows
        tree = None
        for start in range(0, n, _JETS_PER_STEP):
            jets = store.select("table", start=start, stop=start + _JETS_PER_STEP)
            missing = [name for name in [*wanted, "is_signal_new"] if name not in jets]
            if missing:
                raise InputError(f"'{published}' lacks the column '{missing[0]}' of the top tagging reference data set")
            padded = {name: jets[[f"{column}_{i}" for i in range(CONSTITUENTS)]].to_numpy(np.float32)
                      for name, column in _COLUMNS.items()}  # fmt: skip
            is_real = padded["energy"] > 0
            counts = is_real.sum(1)
            entries = {
                "part": ak.zip({name: ak.unflatten(values[is_real], counts) for name, values in padded.items()}),
                **{
                    f"jet_{name}": values.sum(1, where=is_real, dtype=np.float64).astype(np.float32)
                    for name, values in padded.items()
                },
                "is_top": jets["is_signal_new"].to_numpy(np.int32),
            }
            tree = tree or file.mktree("Jets", {name: ak.Array(values).type.content for name, values in entries.items()})
            tree.extend(entries)
