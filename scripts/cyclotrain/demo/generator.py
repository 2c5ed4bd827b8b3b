"""Pythia 8 events as flat arrays: the stable visible particles, and the hadronic top quarks with their quarks."""

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pythia8mc

from cyclotrain.demo import Columns

PROCESSES = {
    "qcd": ("HardQCD:all = on",),
    "ttbar": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"),
}
_COMMON = (
    "Beams:eCM = 13000.",
    "PartonLevel:MPI = off",  # as in the public top-tagging sample; with MPI, generation takes 4 to 5 times as long
    "PhaseSpace:pTHatMin = 400.",
    "PhaseSpace:pTHatMax = 840.",
    # a flat spectrum instead of a falling one; the event weight compensates
    "PhaseSpace:bias2Selection = on",
    "PhaseSpace:bias2SelectionPow = 5",
    "PhaseSpace:bias2SelectionRef = 500",
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10",
    "Print:quiet = on",
    "Check:event = off",
    "Random:setSeed = on",
)
_NEUTRINOS = (12, 14, 16)
_TOP, _W = 6, 24
_QUARKS_OF_A_TOP = 3
_OUTGOING_OF_HARD_DECAY = -23  # Pythia's status code


@dataclass(frozen=True)
class Generator:
    """Pythia 8 for one process and one seed; raises ValueError for a setting that Pythia rejects."""

    process: str
    seed: int

    def __post_init__(self) -> None:
        pythia = pythia8mc.Pythia("", False)
        for line in (*_COMMON, f"Random:seed = {self.seed}", *PROCESSES[self.process]):
            if not pythia.readString(line):
                raise ValueError(f"Pythia rejects the setting '{line}'")
        if not pythia.init():
            raise ValueError(f"Pythia could not start for the process '{self.process}'")
        object.__setattr__(self, "_pythia", pythia)

    def batch(self, events: int) -> ak.Array:
        """Generate the next events: Pythia's records `prt` (particles) and `info`."""
        return self._pythia.nextBatch(events)  # type: ignore[attr-defined]

    def cross_section_pb(self) -> float:
        """The leading-order cross section in pb, estimated from the events so far."""
        return float(self._pythia.infoPython().sigmaGen() * 1e9)  # type: ignore[attr-defined]

    def visible_particles(self, batch: ak.Array) -> Columns:
        """Stable particles except neutrinos, |eta| < 3.5 and pT > 0.1 GeV: momenta in GeV, vertices in mm, charge in e."""
        identity = np.abs(batch["prt", "id"])
        visible = batch["prt", "status"] > 0
        for neutrino in _NEUTRINOS:
            visible = visible & (identity != neutrino)
        particles = batch["prt"][visible]
        event = np.repeat(np.arange(len(batch), dtype=np.int32), ak.to_numpy(ak.num(particles)))
        flat = ak.flatten(particles)
        momentum = {name: ak.to_numpy(flat["p", name]) for name in ("px", "py", "pz")}
        columns = {"event": event, **momentum, "energy": ak.to_numpy(flat["p", "e"]), "id": ak.to_numpy(flat["id"])}
        columns |= {name: _vertex(flat, component) for name, component in (("x", "px"), ("y", "py"), ("z", "pz"))}
        columns["pt"] = np.hypot(columns["px"], columns["py"])
        columns["eta"] = np.arcsinh(columns["pz"] / np.maximum(columns["pt"], 1e-9))
        columns["phi"] = np.arctan2(columns["py"], columns["px"])
        columns["charge"] = self._charge(columns["id"])
        accepted = (np.abs(columns["eta"]) < 3.5) & (columns["pt"] > 0.1)
        return {name: column[accepted] for name, column in columns.items()}

    def _charge(self, identities: npt.NDArray[np.generic]) -> npt.NDArray[np.int8]:
        known, where = np.unique(identities, return_inverse=True)
        thirds = [self._pythia.particleData.chargeType(int(identity)) for identity in known]  # type: ignore[attr-defined]
        return (np.array(thirds, np.int8) // 3)[where]


def _vertex(particles: ak.Array, component: str) -> npt.NDArray[np.float64]:
    """A coordinate of the production vertex in mm. Pythia omits the vertex of particles produced at the origin."""
    return ak.to_numpy(ak.fill_none(particles["vProd", component], 0.0)).astype(np.float64)


def hadronic_tops(batch: ak.Array) -> ak.Array:
    """The decaying top quarks of each event: `eta`, `phi` [event, top] and `quark_eta`, `quark_phi` [event, top, 3]."""
    particles = batch["prt"]
    identity, index = particles["id"], ak.local_index(particles["id"])
    is_quark = (particles["status"] == _OUTGOING_OF_HARD_DECAY) & (np.abs(identity) < _TOP)
    mother = identity[particles["mother1"]]
    tops = []
    for sign in (1, -1):
        is_top = identity == sign * _TOP
        last_copy = ak.argmax(ak.where(is_top, index, -1), axis=1, keepdims=True)  # copies of a top quark follow one another
        top = particles[last_copy]
        quarks = particles[is_quark & ((mother == sign * _TOP) | (mother == sign * _W))]
        whole = ak.num(quarks) == _QUARKS_OF_A_TOP
        eta, phi = _directions(top)
        quark_eta, quark_phi = _directions(quarks)
        top = ak.zip(
            {"eta": eta, "phi": phi, "quark_eta": quark_eta[:, np.newaxis], "quark_phi": quark_phi[:, np.newaxis]},
            depth_limit=2,
        )
        tops.append(ak.mask(top, whole))
    return ak.concatenate([ak.fill_none(top, [], axis=0) for top in tops], axis=1)


def _directions(particles: ak.Array) -> tuple[Any, Any]:
    px, py, pz = (particles["p", name] for name in ("px", "py", "pz"))
    return np.arcsinh(pz / np.sqrt(px**2 + py**2)), np.arctan2(py, px)
