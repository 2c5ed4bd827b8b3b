"""HIGGS: a gzipped CSV file without a header: the label, then 28 features."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import uproot

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic

# as in the subset that ROOT is published with
FEATURES = (
    "lepton_pT", "lepton_eta", "lepton_phi", "missing_energy_magnitude", "missing_energy_phi",
    *(f"jet{i}_{name}" for i in (1, 2, 3, 4) for name in ("pt", "eta", "phi", "b-tag")),
    "m_jj", "m_jjj", "m_lv", "m_jlv", "m_bb", "m_wbb", "m_wwbb",
)  # fmt: skip
HIGGS_FILES = ("train.root", "validation.root", "test.root")
EVENTS, TEST_EVENTS = 11_000_000, 500_000  # the last ones are the published test sample
VALIDATION_EVENTS = 100_000  # as many as in the publication, before the test sample
_BLOCK_BYTES = 64 << 20


def higgs_to_root(published: Path, folder: Path, *, events: int = EVENTS) -> None:
    """Write HIGGS.csv.gz as train.root, validation.root and test.root into `folder`: 64 MB of text in memory at a time.

    The tree `Events` has the 28 features as float32, and `is_signal`. Raises InputError for a file of another kind, or of another
    number of rows than `events`: UCI publishes no checksum.
    """
    columns = ["is_signal", *FEATURES]
    starts = (0, events - TEST_EVENTS - VALIDATION_EVENTS, events - TEST_EVENTS, events)
    row = 0
    try:
        with ExitStack() as stack:
            reader = pa.csv.open_csv(
                published,
                read_options=pa.csv.ReadOptions(column_names=columns, block_size=_BLOCK_BYTES),
                convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.float32())),
            )
            files = [
                stack.enter_context(uproot.recreate(stack.enter_context(atomic(folder / name)), compression=uproot.ZSTD(3)))
                for name in HIGGS_FILES
            ]
            types = {name: np.dtype(np.int32 if name == "is_signal" else np.float32) for name in columns}
            trees = [file.mktree("Events", types) for file in files]
            for batch in reader:
                for tree, start, stop in zip(trees, starts[:-1], starts[1:], strict=True):
                    low, high = (min(max(edge - row, 0), len(batch)) for edge in (start, stop))
                    if low < high:
                        part = batch.slice(low, high - low)
                        tree.extend({name: part[name].to_numpy(zero_copy_only=False).astype(types[name]) for name in columns})
                row += len(batch)
            if row != events:
                raise InputError(f"'{published}' has {row:,} rows, and HIGGS has {events:,}; delete it, and fetch it again")
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # such as a full disk
            raise
        raise InputError(f"'{published}' cannot be read as HIGGS.csv.gz ({error}); delete it, and fetch it again") from error
