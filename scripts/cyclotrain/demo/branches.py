"""The branches of a simulated file, so that a config can be checked before any job starts."""

JETS_TREE, RUNS_TREE = "Jets", "Runs"
MAX_CONSTITUENTS = 100

_EVENT = ("run", "luminosityBlock", "event", "genWeight")
_JET = ("index", "isTop", "nConstituents", "pt", "eta", "phi", "mass", "msoftdrop", "tau1", "tau2", "tau3", "tau4")
_CONSTITUENT = ("pt", "eta", "phi", "energy", "charge", "pdgId", "d0", "d0Err", "dz", "dzErr")

DEPTHS = {  # as ntuples.depths gives them
    **dict.fromkeys(_EVENT, 0),
    **dict.fromkeys((f"jet_{name}" for name in _JET), 0),
    "npf": 0,
    **dict.fromkeys((f"pf_{name}" for name in _CONSTITUENT), 1),
}
