"""Models that are registered in MLflow."""

import shutil
import tempfile
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from cyclotrain.core.errors import InputError

WEIGHTS = "weights.pt"  # the artifact of a run


def fetch_weights(model: str, *, uri: str, path: Path) -> None:
    """Copy the weights of a registered model, `models:/name@alias` or `models:/name/version`, from the store at `uri` to `path`.

    They are an artifact of the run that made the model. Raises InputError if the model or its weights are not there.
    """
    mlflow.set_tracking_uri(uri)
    try:
        run_id = mlflow.models.get_model_info(model).run_id
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise InputError(
            f"training.initial_weights: '{model}' is not in MLflow's store '{uri}' (tracking.uri): {error}"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        try:
            artifact = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=WEIGHTS, dst_path=folder)
        except (MlflowException, OSError) as error:
            raise InputError(
                f"training.initial_weights: the run {run_id} of '{model}' has no {WEIGHTS}, as those of older versions have not; "
                f"run it again, or give its folder: {error}"
            ) from error
        shutil.copyfile(artifact, path)
