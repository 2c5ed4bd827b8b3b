"""The built-in sample: boosted top quarks and QCD jets at 13 TeV from Pythia 8 and FastJet, through a simple detector.

`simulate` writes a ROOT file of it; `generator`, `detector` and `jets` are its steps, on flat NumPy arrays in which a
column `event` gives the index of the event in the batch. Described for physicists in docs/demo-sample.md.
"""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

Columns = Mapping[str, npt.NDArray[Any]]
