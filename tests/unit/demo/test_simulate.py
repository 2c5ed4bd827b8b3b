import re
from pathlib import Path

import pytest
import uproot

from cyclotrain.demo.simulate import simulate


def test_the_log_tells_jets_events_and_the_rate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "jets.root"
    simulate(path, process="qcd", n_jets=1, run=1, part=0, seed=1)  # one batch of events
    with uproot.open(path) as file:
        n_jets, n_events = file["Jets"].num_entries, file["Runs"]["genEventCount"].array()[0]
    (line,) = [record.getMessage() for record in caplog.records if record.name == "cyclotrain.demo.simulate"]
    assert re.fullmatch(rf"qcd: {n_jets} jets from {n_events} events in \d+\.\d s \([\d,]+ jets/s\)", line)
