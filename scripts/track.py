"""Rule `track`: the finished run into MLflow."""

from pathlib import Path

from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.run import Run
from cyclotrain.core.files import write_json
from cyclotrain.core.logs import rule
from cyclotrain.tracking.runs import FinishedRun, track

with rule(snakemake.log[0]):
    config, files = snakemake.params.config, snakemake.params.files
    columns = zip(*(snakemake.input[name] for name in files), strict=True)
    runs = [Run.read(dict(zip(files, paths, strict=True))) for paths in columns]
    finished = FinishedRun(
        config=config,
        folder=Path(snakemake.output[0]).parent,
        models=dict(zip(map(Path, snakemake.params.folds), runs, strict=True)),
        references=[Path(folder) / "reference.json" for folder in snakemake.input.references],
        files=[Path(path) for path in snakemake.input.shown],
    )
    write_json(snakemake.output[0], track(finished, tracking=TrackingConfig(**config["tracking"])))
