"""Quark against gluon jets: arrays X [n, M, 4] of (pt, y, phi, PDG id), padded by zeros, and y [n], 1 for quarks."""

import zipfile
from pathlib import Path

import awkward as ak
import numpy as np
import uproot

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic

_JETS_PER_STEP = 20_000


def quark_gluon_to_root(published: Path, folder: Path) -> None:
    """Write `published`, such as QG_jets_1.npz, as QG_jets_1.root into `folder`, one published file (0.5 GB) in memory.

    The tree `Jets` has `part_pt` (GeV), `part_eta`, `part_phi`, `part_pid` without the padding, in the order of the file;
    `jet_px` and so on, the sums over all constituents; and `is_quark`. Particles are massless, as published, so that y is eta.
    Raises InputError for a file of another kind.
    """
    try:
        with np.load(published) as arrays:
            x_BLF, is_quark = arrays["X"], arrays["y"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"'{published}' cannot be read as the arrays X and y of the quark-gluon set ({error}); delete it, and fetch it again"
        ) from error
    if x_BLF.ndim != 3 or x_BLF.shape[2] != 4 or is_quark.shape != x_BLF.shape[:1]:
        raise InputError(f"'{published}': X {x_BLF.shape} and y {is_quark.shape} are not [jets, constituents, 4] and [jets]")
    with atomic(folder / f"{published.stem}.root") as temporary, uproot.recreate(temporary, compression=uproot.ZSTD(3)) as file:
        tree = None
        for start in range(0, len(x_BLF), _JETS_PER_STEP):
            pt, eta, phi, pid = np.moveaxis(x_BLF[start : start + _JETS_PER_STEP], 2, 0)
            is_real = pt > 0
            counts = is_real.sum(1)
            part = {"pt": pt.astype(np.float32), "eta": eta.astype(np.float32), "phi": phi.astype(np.float32),
                    "pid": pid.astype(np.int32)}  # fmt: skip
            jet = {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta)}
            entries = {
                "part": ak.zip({name: ak.unflatten(values[is_real], counts) for name, values in part.items()}),
                **{f"jet_{name}": values.sum(1, where=is_real).astype(np.float32) for name, values in jet.items()},
                "is_quark": is_quark[start : start + _JETS_PER_STEP].astype(np.int32),
            }
            tree = tree or file.mktree("Jets", {name: ak.Array(values).type.content for name, values in entries.items()})
            tree.extend(entries)
