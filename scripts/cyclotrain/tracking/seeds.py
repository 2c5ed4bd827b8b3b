"""The runs of several seeds below one parent in MLflow, which has the mean and the spread of their figures.

Run: python -m cyclotrain.tracking.seeds results/demo results/demo-seed-2     (the last step of `make seeds`)
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param
from mlflow.entities import Run as MlflowRun

from cyclotrain.core.errors import InputError
from cyclotrain.core.files import read_json
from cyclotrain.tracking.runs import COMPLETE_TAG, NOTE_TAG, PARENT_TAG, is_of_epochs
from cyclotrain.tracking.spread import spread
from cyclotrain.tracking.store import log, opened

_SEEDS_TAG = "cyclotrain.seeds_of"  # of a parent: the hash of the config without name and seed
_OF_CONFIG = "config_without_seed_sha256"


def gather(folders: Sequence[Path]) -> str:
    """Put the runs of these folders below their parent, made if there is none; the id of the parent.

    The parent is known by the config without name and seed: more seeds of it go to the same parent. Raises InputError if a run
    is not in MLflow, if the runs are of different stores or experiments, or differ in more than the seed.
    """
    addresses = []
    for folder in folders:
        if not (path := folder / "mlflow_run.json").exists():
            raise InputError(f"'{folder}' is no finished run: it has no mlflow_run.json. Run the workflow for it first")
        addresses.append(read_json(path))
    if len(places := {(address["tracking_uri"], address["experiment_id"]) for address in addresses}) > 1:
        raise InputError(
            f"the runs {', '.join(map(str, folders))} are in different stores or experiments of MLflow; run them again"
        )
    ((uri, experiment_id),) = places
    with opened(uri) as client:
        runs = [client.get_run(address["run_id"]) for address in addresses]
        if len(configs := {run.data.tags[_OF_CONFIG] for run in runs}) > 1:
            raise InputError(
                f"the runs {', '.join(map(str, folders))} differ in more than the seed; run them again with one config"
            )
        return _below_parent(client, experiment_id, runs, seeds_of=configs.pop())


def _below_parent(client: mlflow.MlflowClient, experiment_id: str, runs: Sequence[MlflowRun], *, seeds_of: str) -> str:
    known = client.search_runs([experiment_id], f"tags.`{_SEEDS_TAG}` = '{seeds_of}'")
    new = {_SEEDS_TAG: seeds_of, "mlflow.source.name": "cyclotrain", "mlflow.source.type": "PROJECT"}
    name, started = f"{runs[0].info.run_name} seeds", min(run.info.start_time for run in runs)
    parent = known[0] if known else client.create_run(experiment_id, start_time=started, tags=new, run_name=name)
    parent_id: str = parent.info.run_id
    for run in runs:
        client.set_tag(run.info.run_id, PARENT_TAG, parent_id)
    children = client.search_runs([experiment_id], f"tags.`{PARENT_TAG}` = '{parent_id}'", order_by=["attributes.start_time"])
    if not known:
        common = set.intersection(*(set(run.data.params.items()) for run in children))
        log(client, parent_id, params=[Param(key, text) for key, text in sorted(common)])
    figures = [{name: x for name, x in run.data.metrics.items() if not is_of_epochs(name)} for run in children]
    ended = max(run.info.end_time for run in children)
    changed = {name: x for name, x in spread(figures).items() if parent.data.metrics.get(name) != x}
    log(client, parent_id, metrics=[Metric(name, value, ended, 0) for name, value in changed.items()])
    seeds = ", ".join(sorted((run.data.params["seed"] for run in children), key=int))
    note = (
        f"{len(children)} trainings of one config with the seeds {seeds}; each is a run of its own below this one.  \n"
        "A figure here is the mean over them, `spread.<figure>` their standard deviation."
    )
    failed = [run.info.run_name for run in children if run.info.status == "FAILED"]
    gates = f"failed: {', '.join(failed)}" if failed else "passed"
    for key, value in {NOTE_TAG: note, "gates": gates, COMPLETE_TAG: "yes"}.items():
        client.set_tag(parent_id, key, value)
    client.set_terminated(parent_id, "FAILED" if failed else "FINISHED", ended)
    return parent_id


def main() -> None:
    """Gather the runs of the folders in the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    try:
        gather(parser.parse_args().folders)
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
