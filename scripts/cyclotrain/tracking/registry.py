"""Models that are registered in MLflow: a version a model, the aliases `challenger` and `champion`."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from sqlalchemy.exc import SQLAlchemyError

from cyclotrain.core.errors import InputError

CHALLENGER, CHAMPION = "challenger", "champion"
MODEL_SHA256 = "model_sha256"  # the tag of a version
WEIGHTS = "weights.pt"  # the artifact of a run
_EXPORTED = "model.onnx"  # in the folder of a model


def register(
    client: mlflow.MlflowClient, name: str, *, run_id: str, model_id: str, tags: Mapping[str, str], description: str
) -> ModelVersion:
    """The version of `name` that is the model of a run, made if there is none; a new one gets the alias `challenger`.

    tags: the last one marks a version that is complete.
    """
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    known = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    if known:
        version = known[0]
    else:
        source = f"models:/{model_id}"
        version = client.create_model_version(name, source, run_id, description=description, model_id=model_id)
    if list(tags)[-1] not in version.tags:
        client.set_registered_model_alias(name, CHALLENGER, version.version)
        # what `mlflow.register_model` writes, for the UI's link from the run
        link = json.dumps([{"name": name, "version": version.version}])
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})
        for key, value in tags.items():
            client.set_model_version_tag(name, version.version, key, value)
    return version


def version_of(client: mlflow.MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version with this alias, or None."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        # an alias that does not exist is an invalid parameter for some stores
        if error.error_code in (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), "INVALID_PARAMETER_VALUE"):
            return None
        raise


def fetch_registered(model: str, *, key: str, uri: str, path: Path) -> None:
    """Copy the ONNX file of a registered model, `models:/name@alias` or `models:/name/2`, from the store at `uri` to `path`.

    Raises InputError, which names `key` of the config, if it is not there.
    """
    mlflow.set_tracking_uri(uri)
    with tempfile.TemporaryDirectory() as folder:
        try:
            shutil.copyfile(Path(mlflow.artifacts.download_artifacts(model, dst_path=folder)) / _EXPORTED, path)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise InputError(f"{key}: '{model}' is not in MLflow's store '{uri}' (tracking.uri): {error}") from error


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
