"""The built-in sample: boosted top quarks and QCD jets at 13 TeV, from Pythia 8, FastJet and a simple detector. Rule `simulate`.

`simulate` writes a ROOT file. Its steps are `generator`, `detector` and `jets`; they work on flat NumPy arrays, whose column
`event` is the index of the event in the batch. docs/demo-sample.md describes the physics.
"""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

Columns = Mapping[str, npt.NDArray[Any]]
