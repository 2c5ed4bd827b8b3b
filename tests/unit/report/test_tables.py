"""The numbers behind a figure."""

import csv
import io

from cyclotrain.report.tables import Column, Table, binned


def test_a_table_as_csv_has_bins_values_and_uncertainties() -> None:
    share = Column(name="share, of all", values=(0.25, None), uncertainty=(0.01, None))
    table = Table(name="t", columns=(binned("mass", [0, 10, 30], unit="GeV"), share))
    names, *rows = csv.reader(io.StringIO(table.as_csv()))
    assert names == ["mass [GeV]", "mass [GeV], low", "mass [GeV], high", "share, of all", "share, of all, uncertainty"]
    assert rows == [["5.0", "0.0", "10.0", "0.25", "0.01"], ["20.0", "10.0", "30.0", "", ""]]
