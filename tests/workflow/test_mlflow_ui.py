"""MLflow's UI in a real browser: what a user looks for is found, and no script fails."""

from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.results import Evaluation
from cyclotrain.tracking.promotion import promote
from cyclotrain.tracking.runs import track
from support.mlflow_ui import CHROMIUM, visit
from support.tracked import finished_run
from support.trained import Trained

pytestmark = pytest.mark.workflow


def not_asked(path: Path) -> Evaluation:
    """The first model needs no comparison."""
    raise AssertionError(path)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_a_user_finds_runs_their_differences_the_report_and_the_champion(
    trained: Trained, trained_to_sort: Trained, tmp_path: Path
) -> None:
    pytest.importorskip("playwright.sync_api")
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", experiment="toys", register_as="tagger")
    addresses = {}
    for name, model in (("plain", trained), ("sorted", trained_to_sort)):
        folder = tmp_path / name
        folder.mkdir()
        finished = finished_run(model, folder, run=name)
        (folder / "report.html").write_text(f"<h1>Report of {name}</h1>")
        run = replace(finished.models[folder], contract=replace(model.contract, run=name))
        finished = replace(finished, models={folder: run}, files=[*finished.files, folder / "report.html"])
        addresses[name] = track(finished, tracking=tracking)
        if name == "plain":
            promote(run, tracking=tracking, bounds={"auc.*": [">= 0.5"]}, evaluate=not_asked)
    experiment = addresses["plain"]["experiment_id"]
    with visit(tracking.uri, experiment) as user:
        user.find_runs("plain", "sorted", columns=("auc.background",))
        page = user.open_run("sorted")
        assert "All 2 gates passed." in page and "trained on 1,8" in page and "tagger" in page
        user.compare_curves("training/")
        differences = user.compare_parameters("plain", "sorted")
        assert "inputs.pf.sort_by" in differences and "training.epochs" not in differences
        assert user.open_report(addresses["plain"]["run_id"], experiment) == "Report of plain"
        page = user.find_champion("tagger", "plain")
        assert addresses["plain"]["run_id"] in page and "background (" in page
    assert user.errors == [] and user.foreign == []
    assert mlflow.MlflowClient(tracking.uri).get_model_version_by_alias("tagger", "champion").tags["run"] == "plain"
