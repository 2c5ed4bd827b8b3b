"""An MLflow store: its experiment, its lock, and its errors in words."""

import hashlib
import logging
import os
import random
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import mlflow
from mlflow.entities import Experiment, LifecycleStage, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from requests import RequestException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import locked

# limits of MLflow's server on one request
_METRICS, _PARAMS = 1000, 100
# what databases, and MLflow for a version, say of a row that is there already
_COLLISIONS = ("UniqueViolation", "UNIQUE constraint failed", "Duplicate entry", "Model Version creation error", "deadlock")
_TRIES = 20
_Written = TypeVar("_Written")
_ERRORS = (MlflowException, SQLAlchemyError, RequestException, OSError)


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for a server."""
    if not uri.startswith("sqlite:"):
        return None
    database = make_url(uri).database
    return Path(database.removeprefix("file:")).resolve() if database else None


@contextmanager
def opened(uri: str) -> Iterator[mlflow.MlflowClient]:
    """A client of the store at `uri`, which is also the one that functions of `mlflow` use.

    An SQLite store takes one writer at a time, so jobs that write to the same file wait for each other. Raises InputError, also
    for what fails in the block, if the store cannot be reached, read or written, or is of another version of MLflow.
    """
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints the traceback of what it raises
    # a bar a file, and addresses, would break the bar of the run
    os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    database = sqlite_file(uri)
    try:
        with locked(database) if database else nullcontext():
            mlflow.set_tracking_uri(uri)
            yield mlflow.MlflowClient(uri)
    except _ERRORS as error:
        raise InputError(f"tracking.uri: MLflow's store '{uri}' cannot be used. {_advice(error)} MLflow says: {error}") from error


def _advice(error: Exception) -> str:
    words = str(error)
    if found := re.search(r"out-of-date database schema \(found version (\w+)", words):
        if _knows_schema(found[1]):
            return "An older MLflow has written it. Make a copy of it, upgrade it as MLflow says below, and run again."
        return (
            f"A newer MLflow than {mlflow.__version__}, which is installed here, has written it, and this one cannot use it. "
            "Set another store, or install the newer MLflow, and run again."
        )
    if "readonly" in words or "read-only" in words.lower() or isinstance(error, PermissionError):
        return "It is read-only. Make it and its folder writable, or set another one, and run again."
    return "Start or repair it, or set another one, and run again."


def _knows_schema(version: str) -> bool:
    """Whether the MLflow of this environment has a schema of this version, its own or an earlier one."""
    scripts = Path(mlflow.__file__).parent / "store/db_migrations/versions"
    return any(path.name.startswith(f"{version}_") for path in scripts.iterdir())


def experiment_of(client: mlflow.MlflowClient, name: str, uri: str) -> Experiment:
    """The experiment of this name, made if there is none; raises InputError if it was deleted."""
    experiment = client.get_experiment_by_name(name) or _new_experiment(client, name, uri)
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        number = experiment.experiment_id
        raise InputError(
            f"tracking.experiment: the experiment '{name}' (id {number}) in '{uri}' was deleted. Bring it back:\n"
            f"    MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow experiments restore --experiment-id {number}\n"
            "or give tracking.experiment another name; then run again"
        )
    return experiment


def _new_experiment(client: mlflow.MlflowClient, name: str, uri: str) -> Experiment:
    # a local store keeps its artifacts beside it; a server has its own place for them
    database = sqlite_file(uri)
    artifacts = database.with_name("mlartifacts").as_uri() if database else None
    # else the UI opens on the pages for language models
    tags = {"mlflow.experimentKind": "custom_model_development"}
    try:
        client.create_experiment(name, artifacts, tags)
    except MlflowException as error:
        # another run has made it on the server meanwhile
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    return client.get_experiment_by_name(name)


def again_after_collisions(write: Callable[[], _Written]) -> _Written:
    """The result of `write`, which writes nothing twice, and is called again where another writer was first.

    MLflow looks whether a data set or a version is there and then inserts it, so that of two writers on a server one may fail.
    """
    for _ in range(_TRIES):
        try:
            return write()
        except MlflowException as error:
            if not any(words in str(error) for words in _COLLISIONS):
                raise
        time.sleep(random.uniform(0.1, 2))
    return write()


def metric_name(figure: str) -> str:
    """A name that MLflow takes for the metric of a figure.

    Figures of features have expressions in their names, and MLflow takes letters, digits and a few signs, and 250 of them. What
    differs in the signs that are left out differs in the hash at the end.
    """
    allowed = re.sub(r"[^\w\-. :]", "_", figure)[:200]
    return figure if allowed == figure else f"{allowed} {hashlib.sha256(figure.encode()).hexdigest()[:4]}"


def log(client: mlflow.MlflowClient, run_id: str, *, metrics: Sequence[Metric] = (), params: Sequence[Param] = ()) -> None:
    """Log any number of metrics and parameters, in requests of a size that MLflow's server takes."""
    for first in range(0, len(params), _PARAMS):
        client.log_batch(run_id, params=params[first : first + _PARAMS])
    for first in range(0, len(metrics), _METRICS):
        client.log_batch(run_id, metrics=metrics[first : first + _METRICS])
