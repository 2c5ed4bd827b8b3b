"""The scan of learning rates."""

from pathlib import Path
from typing import Any

import pytest

from cyclotrain.contract.results import LearningRateScan
from cyclotrain.report.plots.draw import draw
from cyclotrain.training.learning_rate import ScanFiles, find_learning_rate
from support.toys import raw_config


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_suggested_rate_is_below_the_one_at_which_the_loss_is_lowest(
    optimizer: str, ingest: Any, toy_files: dict[str, str], tmp_path: Path
) -> None:
    training = {"batch_size": 64, "accumulate": 2, "optimizer": optimizer, "gradient_clipping": 10}
    config, contract, shards = ingest(raw_config(toy_files, training=training))
    path = tmp_path / "learning_rate.json"
    find_learning_rate(contract, shards, model=config.model, training=config.training, threads=1, files=ScanFiles(path))
    scan = LearningRateScan.read(path)
    best = scan.rates[scan.losses.index(min(scan.losses))]
    assert 1e-4 < scan.suggested < 0.3 * best
    assert scan.losses[0] == pytest.approx(0.69, abs=0.1) and min(scan.losses) < 0.5
    assert scan.batch_size == 128 and len(scan.rates) == len(scan.losses)
    figure = tmp_path / "rates.png"
    draw("training.rates", {"learning_rate": path}, [figure])
    assert figure.stat().st_size > 5000
