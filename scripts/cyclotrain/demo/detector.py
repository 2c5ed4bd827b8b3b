"""A simple particle-flow detector: tracks with efficiency, pT resolution and impact parameters; two calorimeters.

Charged particles leave a track within |eta| < 2.5 and pT > 0.5 GeV, 95 % of the time (85 % below 1 GeV), with
sigma(pT)/pT = (0.7 + 0.3 |eta|) % + 0.015 % pT/GeV in quadrature, and impact parameters d0, dz smeared by
10 um + 60 um GeV/pT and 20 um + 80 um GeV/pT in quadrature. The energy of particles without a track, except muons, is
summed in cells: photons and electrons in 0.0174 x 0.0174 (3 %/sqrt(E) + 0.5 %, noise 0.12 GeV), hadrons in 0.087 x 0.087
(100 %/sqrt(E) + 5 %).
"""

import numpy as np
import numpy.typing as npt

from cyclotrain.demo import Columns

_ELECTRON, _MUON, _PHOTON, _PION, _NEUTRAL_HADRON = 11, 13, 22, 211, 130
_MINIMUM_PT = 0.5


def candidates(particles: Columns, n_events: int, random: np.random.Generator) -> tuple[Columns, npt.NDArray[np.int64]]:
    """Particle-flow candidates ordered by event, and the offsets [n_events + 1] of each event's candidates.

    Columns: event, pt, eta, phi, mass2 (GeV, GeV^2), charge, pdgId, d0, dz and their errors (mm; 0 without a track).
    """
    pt, eta = particles["pt"], np.abs(particles["eta"])
    efficiency = np.where(pt < 1.0, 0.85, 0.95) * (eta < 2.5) * (pt > _MINIMUM_PT)
    has_track = (particles["charge"] != 0) & (random.random(len(pt)) < efficiency)
    identity = np.abs(particles["id"])
    electromagnetic = np.isin(identity, (_PHOTON, _ELECTRON))
    calorimetric = ~has_track & (identity != _MUON)
    parts = [
        _tracks(_select(particles, has_track), random),
        _clusters(_select(particles, calorimetric & electromagnetic), _PHOTON, random),
        _clusters(_select(particles, calorimetric & ~electromagnetic), _NEUTRAL_HADRON, random),
    ]
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    merged = _select(merged, merged["pt"] > _MINIMUM_PT)
    merged = _select(merged, np.argsort(merged["event"], kind="stable"))
    counts = np.bincount(merged["event"].astype(np.int64), minlength=n_events)
    return merged, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _select(columns: Columns, rows: npt.NDArray[np.generic]) -> dict[str, npt.NDArray[np.generic]]:
    return {name: column[rows] for name, column in columns.items()}


def _tracks(p: Columns, random: np.random.Generator) -> Columns:
    n = len(p["pt"])
    resolution = np.hypot(0.007 + 0.003 * np.abs(p["eta"]), 1.5e-4 * p["pt"])
    cos_phi, sin_phi = p["px"] / p["pt"], p["py"] / p["pt"]
    d0_error, dz_error = np.hypot(0.010, 0.060 / p["pt"]), np.hypot(0.020, 0.080 / p["pt"])
    pt = p["pt"] * np.maximum(1 + resolution * random.standard_normal(n), 0.05)
    along = p["x"] * cos_phi + p["y"] * sin_phi
    is_lepton = np.isin(np.abs(p["id"]), (_ELECTRON, _MUON))
    return {
        "event": p["event"],
        "pt": pt,
        "eta": p["eta"],
        "phi": p["phi"],
        "mass2": np.maximum(p["energy"] ** 2 - p["px"] ** 2 - p["py"] ** 2 - p["pz"] ** 2, 0.0),
        "charge": p["charge"].astype(np.int32),
        "pdgId": np.where(is_lepton, p["id"], _PION * p["charge"].astype(np.int32)).astype(np.int32),
        "d0": p["y"] * cos_phi - p["x"] * sin_phi + d0_error * random.standard_normal(n),
        "dz": p["z"] - along * np.sinh(p["eta"]) + dz_error * random.standard_normal(n),
        "d0Err": d0_error,
        "dzErr": dz_error,
    }


def _clusters(p: Columns, identity: int, random: np.random.Generator) -> Columns:
    cell = 0.0174 if identity == _PHOTON else 0.087
    n_phi = round(2 * np.pi / cell)
    cell = 2 * np.pi / n_phi
    i_eta = np.floor(p["eta"] / cell).astype(np.int64) + 512
    i_phi = np.floor((p["phi"] + np.pi) / cell).astype(np.int64) % n_phi
    cells, owner = np.unique((p["event"].astype(np.int64) * 1024 + i_eta) * n_phi + i_phi, return_inverse=True)
    energy = np.bincount(owner, weights=p["energy"], minlength=len(cells)).astype(np.float64)
    # uniform inside the cell: cell centres would form a grid, which real clusters do not
    eta = ((cells // n_phi) % 1024 - 512 + random.random(len(cells))) * cell
    phi = (cells % n_phi + random.random(len(cells))) * cell - np.pi
    if identity == _PHOTON:
        resolution, threshold = np.sqrt(0.03**2 * energy + 0.12**2 + (0.005 * energy) ** 2), 0.5
    else:
        resolution, threshold = np.sqrt(energy + (0.05 * energy) ** 2), 1.0
    energy = energy + resolution * random.standard_normal(len(cells))
    zero = np.zeros(len(cells))
    clusters: Columns = {
        "event": (cells // (1024 * n_phi)).astype(np.int32),
        "pt": energy / np.cosh(eta),
        "eta": eta,
        "phi": phi,
        "mass2": zero,
        "charge": zero.astype(np.int32),
        "pdgId": np.full(len(cells), identity, np.int32),
        **dict.fromkeys(("d0", "dz", "d0Err", "dzErr"), zero),
    }
    return _select(clusters, energy > threshold)
