"""Rule `track`: the finished run into MLflow."""

from pathlib import Path

from cyclotrain.contract import Contract
from cyclotrain.core.files import write_json
from cyclotrain.core.logs import rule
from cyclotrain.tracking.runs import track

with rule(snakemake.log[0]):
    files = {name: snakemake.input[name] for name in snakemake.params.files}
    tracking = snakemake.params.config["tracking"]
    plots = Path(snakemake.input.plots[0]).parent
    contract = Contract.read(files["contract"])
    run = track(tracking["uri"], tracking["experiment"], snakemake.params.config, contract, files, plots, snakemake.input.cards)
    write_json(snakemake.output[0], run)
