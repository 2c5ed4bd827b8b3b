"""Measure, print the table and write it as JSON."""

import argparse
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

from benchmarks import ingest, libtorch, model, networks, report, sample
from cyclotrain.core.files import write_json


def main() -> None:
    """Measure all figures, or those of `--only`."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    # Lightning warns that the training has no validation, which is on purpose here.
    warnings.filterwarnings("ignore", message=".*(LeafSpec|val_dataloader).*")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="the JSON file to write")
    parts = {
        "ingest": ingest.figures, "model": model.figures, "libtorch": libtorch.figures, "networks": networks.figures,
        "report": report.figures,
    }  # fmt: skip
    parser.add_argument("--only", choices=tuple(parts), help="measure only this part of the table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jets = sample.make(folder)
        table = [line for part, figures in parts.items() if arguments.only in (None, part) for line in figures(jets, folder)]
    write_json(arguments.result, table)
    print(f"\n{'':36}{'Cyclotrain':>14}{'reference':>14}{'ratio':>8}")
    for line in table:
        rates = f"{_rate(line['value'])}{_rate(line['reference_value'])}{line['ratio']:8.2f}"
        print(f"{line['name']:36}{rates}  {line['unit']}; {line['reference']}")


def _rate(value: Any) -> str:
    return f"{value:14,.0f}" if value >= 100 else f"{value:14,.1f}"


if __name__ == "__main__":
    main()
