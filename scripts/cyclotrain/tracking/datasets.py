"""The samples of a run as MLflow's data sets."""

import json
from collections.abc import Iterable

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag

from cyclotrain.contract.results import Dataset, InputFile, Sample
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.files import json_sha256

_DIGEST = 36  # characters: MLflow's limit
_SHOWN = 100  # files; MLflow's limit of a source is 64 KB


def inputs(dataset: Dataset) -> list[DatasetInput]:
    """A data set for each sample: where its files are, their checksum, its events by split, and what for it was used."""
    return [
        _input(name, sample, [file for file in dataset.files if file.sample == name]) for name, sample in dataset.samples.items()
    ]


def _input(name: str, sample: Sample, files: list[InputFile]) -> DatasetInput:
    totals = list(sample.by_class.values())
    events = {split: sum(by_split[split].events for by_split in totals) for split in SPLITS}
    # by their content, as a file may be moved: a remote file is known by its UUID
    content = sorted([file.uuid, file.bytes, file.xxh3 or ""] for file in files)
    source = CodeDatasetSource({"files": _listed(file.path for file in files), "n_files": len(files)})
    profile = {
        "num_rows": sample.events_kept,
        "events_read": sample.events_read,
        **{f"{split}_events": n for split, n in events.items()},
        "sum_of_weights": sum(by_split[split].sum_of_weights for by_split in totals for split in SPLITS),
    }
    return DatasetInput(
        MlflowDataset(
            name=name,
            digest=json_sha256(content)[:_DIGEST],
            source_type=source._get_source_type(),
            source=source.to_json(),
            schema=json.dumps(sample.recipe.model_dump(mode="json")),
            profile=json.dumps(profile),
        ),
        [InputTag("mlflow.data.context", "training" if events["train"] else "test")],
    )


def _listed(paths: Iterable[str]) -> list[str]:
    names = list(paths)
    return names if len(names) <= _SHOWN else [*names[:_SHOWN], f"and {len(names) - _SHOWN} more, in dataset.json"]
