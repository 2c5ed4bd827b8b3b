"""Large-radius jets of candidates: anti-kT 0.8, soft drop, N-subjettiness, and the match to top quarks."""

import awkward as ak
import fastjet
import numpy as np
import numpy.typing as npt
import vector

from cyclotrain.demo import Columns

vector.register_awkward()  # FastJet takes awkward arrays of vectors
# FastJet's banner asks for a citation, which docs/demo-sample.md gives; in each job's log, the banner would hide our lines
fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)

RADIUS = 0.8
PT_RANGE = (500.0, 700.0)
MAX_ABS_ETA = 2.0
JETS_PER_EVENT = 2
_CLUSTERING_MIN_PT = 250.0


def leading_jets(candidates: Columns, offsets: npt.NDArray[np.int64]) -> ak.Array:
    """The two leading jets of each event with 500 < pT < 700 GeV and |eta| < 2, in order of event and pT.

    Fields: event, index (0 leading), pt, eta, phi, mass (GeV), and `members`, rows of `candidates` in the jet.
    """
    momenta = _by_event(_momenta(candidates), offsets)
    cluster = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS))
    jets = cluster.inclusive_jets(min_pt=_CLUSTERING_MIN_PT)
    members = cluster.constituent_index(min_pt=_CLUSTERING_MIN_PT) + offsets[:-1]
    pt = np.sqrt(jets["px"] ** 2 + jets["py"] ** 2)
    jets = ak.zip(
        {
            "event": ak.broadcast_arrays(np.arange(len(jets)), pt)[0],
            "pt": pt,
            "eta": np.arcsinh(jets["pz"] / pt),
            "phi": np.arctan2(jets["py"], jets["px"]),
            "mass": np.sqrt(np.maximum(jets["E"] ** 2 - pt**2 - jets["pz"] ** 2, 0.0)),
            "members": members,
        },
        depth_limit=2,
    )
    jets = jets[ak.argsort(jets["pt"], axis=1, ascending=False)][:, :JETS_PER_EVENT]
    jets["index"] = ak.local_index(jets["pt"])
    selected = (jets["pt"] > PT_RANGE[0]) & (jets["pt"] < PT_RANGE[1]) & (np.abs(jets["eta"]) < MAX_ABS_ETA)
    return ak.drop_none(ak.flatten(jets[selected]))  # nothing is missing, but argsort leaves an option type


def _momenta(candidates: Columns) -> Columns:
    pt, eta, phi = candidates["pt"], candidates["eta"], candidates["phi"]
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return {"px": px, "py": py, "pz": pz, "E": np.sqrt(px**2 + py**2 + pz**2 + candidates["mass2"])}


def _by_event(momenta: Columns, offsets: npt.NDArray[np.int64]) -> ak.Array:
    vectors = ak.Array(dict(momenta), with_name="Momentum4D").layout
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), vectors))


def with_substructure(jets: ak.Array, candidates: Columns) -> ak.Array:
    """Add msoftdrop (GeV), tau1 to tau4, nConstituents, and `pf`, the candidates of each jet in decreasing pT."""
    counts = ak.to_numpy(ak.num(jets["members"]))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    members = ak.to_numpy(ak.flatten(jets["members"]))
    jet = np.repeat(np.arange(len(counts)), counts)
    members = members[np.lexsort((-candidates["pt"][members], jet))]
    inside = _momenta({name: column[members] for name, column in candidates.items()})
    cluster = fastjet.ClusterSequence(_by_event(inside, offsets), fastjet.JetDefinition(fastjet.cambridge_algorithm, 10 * RADIUS))
    groomed = cluster.exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=0.1, R0=RADIUS)
    tau = cluster.njettiness(
        measure_definition="NormalizedMeasure",
        axes_definition="OnePass_KT_Axes",
        njets=[1, 2, 3, 4],
        beta=1.0,
        R0=RADIUS,
    )
    tau = ak.to_numpy(tau).reshape(len(counts), 4)
    pf = {name: candidates[name][members] for name in candidates if name not in ("event", "mass2")}
    pf |= {"energy": inside["E"]}
    pf = {name: column.astype(np.float32) if column.dtype == np.float64 else column for name, column in pf.items()}
    jets["msoftdrop"] = ak.to_numpy(ak.flatten(groomed["msoftdrop"], axis=None))
    jets["nConstituents"] = counts.astype(np.int32)
    for i in range(4):
        jets[f"tau{i + 1}"] = tau[:, i]
    jets["pf"] = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), ak.Array(pf).layout))
    return jets


def is_top_jet(jets: ak.Array, tops: ak.Array) -> npt.NDArray[np.bool_]:
    """True for jets with a top quark and all three of its quarks within 0.8 of the jet's axis."""
    tops = tops[jets["event"]]
    eta, phi = jets["eta"], jets["phi"]
    top_inside = _distance(tops["eta"], tops["phi"], eta, phi) < RADIUS
    quarks_inside = ak.all(_distance(tops["quark_eta"], tops["quark_phi"], eta, phi) < RADIUS, axis=2)
    return ak.to_numpy(ak.any(top_inside & quarks_inside, axis=1))


def _distance(eta1: ak.Array, phi1: ak.Array, eta2: ak.Array, phi2: ak.Array) -> ak.Array:
    delta_phi = (phi1 - phi2 + np.pi) % (2 * np.pi) - np.pi
    return np.sqrt((eta1 - eta2) ** 2 + delta_phi**2)
