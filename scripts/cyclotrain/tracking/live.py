"""The curves of a training in MLflow while it trains: a process beside it that reads history.jsonl and may fail or hang freely.

Run by `beside`: python -m cyclotrain.tracking.live
"""

import json
import logging
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.results import History

_log = logging.getLogger(__name__)
_INTERVAL = 2.0  # seconds between looks at the file
_LAST_WORDS = 20.0  # seconds that a training waits for the process at its end
_FAILED = "failed"
# else a server that is gone is asked for minutes
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@contextmanager
def beside(history: str | Path, *, tracking: TrackingConfig, run: str, config: Mapping[str, Any]) -> Iterator[None]:
    """Send each epoch to MLflow while the block trains and writes `history`; `run`: the name in MLflow.

    A server that is lost costs the training a warning, and at its end some seconds: the rule `track` writes all epochs anyway.
    """
    order = {"history": str(Path(history).resolve()), "tracking": tracking.model_dump(), "run": run, "config": config}
    environment = {**os.environ, **_PATIENCE, "PYTHONPATH": str(Path(__file__).parents[2])}
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name], stdin=subprocess.PIPE, stdout=words, stderr=words, text=True, env=environment,
            start_new_session=True,  # Ctrl-C is for the training
        )  # fmt: skip
        end = _FAILED
        try:
            _tell(process, json.dumps(order))
            yield
            end = "finished"
        finally:
            _tell(process, end, last=True)
            _wait(process)
            words.seek(0)
            if process.returncode:
                last = (words.read().strip().splitlines() or ["no answer in time"])[-1]
                _log.warning("tracking.live: MLflow at '%s' has not all epochs yet; `track` writes them: %s", tracking.uri, last)


def _tell(process: subprocess.Popen[str], line: str, last: bool = False) -> None:
    assert process.stdin
    try:
        process.stdin.write(line + "\n")
        process.stdin.flush()
        if last:
            process.stdin.close()
    except OSError:  # it has died
        pass


def _wait(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_LAST_WORDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _follow(order: Mapping[str, Any]) -> int:
    """Send epochs until the training ends; the exit code is 0 if the server has all of them."""
    from cyclotrain.core.errors import InputError

    tracking, path = TrackingConfig(**order["tracking"]), Path(order["history"])
    sent, error, status = 0, "", None
    while status is None:
        # a line is the training's last word; none, at the end of the stream, means that it was killed
        if select.select([sys.stdin], [], [], _INTERVAL)[0]:
            status = {"finished": "RUNNING", _FAILED: "FAILED"}.get(sys.stdin.readline().strip(), "KILLED")
        history = History.read(path) if path.exists() else History(epochs=())
        if len(history.epochs) > sent or (status and history.epochs):
            try:
                send(history, tracking=tracking, run=order["run"], config=order["config"], status=status or "RUNNING")
                sent, error = len(history.epochs), ""
            except InputError as reason:
                error = str(reason)
    if error:
        print(" ".join(error.split()), file=sys.stderr)
    return 1 if error else 0


def send(history: History, *, tracking: TrackingConfig, run: str, config: Mapping[str, Any], status: str) -> str:
    """Write the epochs so far to the run of this training, made if there is none; its id.

    Raises InputError if the store cannot be used.
    """
    from cyclotrain.tracking.parameters import parameters
    from cyclotrain.tracking.runs import TRAINING_TAG, began, log_epochs, log_parameters, new_run, runs_known_by, training_id
    from cyclotrain.tracking.store import experiment_of, opened

    with opened(tracking.uri) as client:
        experiment_id = experiment_of(client, tracking.experiment, tracking.uri).experiment_id
        tags = {TRAINING_TAG: training_id(history)}
        known = runs_known_by(client, experiment_id, run, tags)
        entry = known[0] if known else new_run(client, experiment_id, run, tags, began(history))
        run_id: str = entry.info.run_id
        if not known:
            log_parameters(client, entry, parameters(config))
        log_epochs(client, run_id, history)
        if entry.info.status != status:
            client.update_run(run_id, status)
    return run_id


if __name__ == "__main__":
    sys.exit(_follow(json.loads(sys.stdin.readline())))
