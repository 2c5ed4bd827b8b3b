"""The pictures of MLflow's UI in docs/tracking.md, from a store with two runs and a registered model.

Run: python tests/ui_screenshots.py sqlite:///results/mlflow.db demo wide; the first run is the champion of `tagger`.
"""

import sys
from pathlib import Path

import mlflow

from support.mlflow_ui import visit

IMAGES = Path("docs/images")


def main(uri: str, champion: str, other: str) -> None:
    """Go through the UI, and write a picture of each page."""
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("cyclotrain").experiment_id
    (run,) = client.search_runs([experiment], f"attributes.run_name = '{other}'")
    with visit(uri, experiment, IMAGES) as user:
        user.find_runs(champion, other, columns=("auc.qcd", "rejection.qcd.at_0.5", "model.options.width"))
        user.open_run(other)
        user.compare_curves("training/")
        user.compare_parameters(champion, other)
        user.open_report(run.info.run_id, experiment)
        user.find_champion("tagger", champion)
        print(*user.errors, *user.foreign, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
