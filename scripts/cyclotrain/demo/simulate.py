"""Write a ROOT file of simulated jets, one entry per jet, with names in the style of NanoAOD."""

import logging
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from cyclotrain.core.files import atomic
from cyclotrain.demo.branches import JETS_TREE, MAX_CONSTITUENTS, RUNS_TREE
from cyclotrain.demo.detector import candidates
from cyclotrain.demo.generator import Generator, hadronic_tops
from cyclotrain.demo.jets import is_top_jet, leading_jets, with_substructure

_EVENTS_PER_BATCH = 500  # part of the recipe: the detector's random numbers are drawn batch by batch
_log = logging.getLogger(__name__)


def simulate(path: str | Path, *, process: str, n_jets: int, run: int, part: int, seed: int) -> None:
    """Write at least `n_jets` jets of `process` to `path`; (`run`, `part`, `seed`) determine the events.

    The tree `Jets` has one entry per jet (branches: `branches.DEPTHS`), `Runs` has one entry: genEventCount,
    genEventSumw (of all generated events) and crossSection in pb.
    """
    pythia_seed = int(np.random.SeedSequence([seed, run, part]).generate_state(1)[0]) % 900_000_000 + 1
    generator, random = Generator(process, pythia_seed), np.random.default_rng([seed, run, part])
    n_written = n_events = 0
    sum_of_weights = 0.0
    start = time.monotonic()
    with atomic(path) as temporary, uproot.recreate(temporary, compression=uproot.ZSTD(3)) as file:
        tree = None
        while n_written < n_jets:
            batch = generator.batch(_EVENTS_PER_BATCH)
            weights = ak.to_numpy(batch["info", "weights"][:, 0]).astype(np.float64)
            pf, offsets = candidates(generator.visible_particles(batch), len(batch), random)
            jets = leading_jets(pf, offsets)
            if process == "ttbar":
                jets = jets[is_top_jet(jets, hadronic_tops(batch))]
            if len(jets):
                jets = with_substructure(jets, pf)
                entries = _entries(jets, weights, process=process, run=run, part=part, first_event=n_events)
                tree = tree or file.mktree(JETS_TREE, {name: array.type for name, array in entries.items()})
                tree.extend(entries)
            n_written += len(jets)
            n_events += len(batch)
            sum_of_weights += weights.sum()
        runs: dict[str, npt.NDArray[Any]] = {
            "run": np.array([run], np.uint32),
            "genEventCount": np.array([n_events], np.int64),
            "genEventSumw": np.array([sum_of_weights]),
            "crossSection": np.array([generator.cross_section_pb()]),
        }
        # mktree, because assignment would write an RNTuple
        file.mktree(RUNS_TREE, {name: array.dtype for name, array in runs.items()}).extend(runs)
    seconds = time.monotonic() - start
    _log.info(f"{process}: {n_written:,} jets from {n_events:,} events in {seconds:.1f} s ({n_written / seconds:,.0f} jets/s)")


def _entries(
    jets: ak.Array, weights: npt.NDArray[np.float64], *, process: str, run: int, part: int, first_event: int
) -> dict[str, ak.Array]:
    """The entries of the tree `Jets`; `weights` [n_events] of the batch."""
    event = ak.to_numpy(jets["event"])
    n = len(jets)
    flat = {
        "run": np.full(n, run, np.uint32),
        "luminosityBlock": np.full(n, part, np.uint32),
        "event": (event + first_event).astype(np.uint64),
        "genWeight": weights[event].astype(np.float32),
        "jet_index": ak.to_numpy(jets["index"]).astype(np.int32),
        "jet_isTop": np.full(n, process == "ttbar", np.int32),
        "jet_nConstituents": ak.to_numpy(jets["nConstituents"]),
    }
    scalars = ("pt", "eta", "phi", "mass", "msoftdrop", "tau1", "tau2", "tau3", "tau4")
    flat |= {f"jet_{name}": ak.to_numpy(jets[name]).astype(np.float32) for name in scalars}
    constituents = jets["pf"][:, :MAX_CONSTITUENTS]
    pf = ak.zip({name: constituents[name] for name in constituents.fields})
    return {**{name: ak.Array(column) for name, column in flat.items()}, "pf": pf}
