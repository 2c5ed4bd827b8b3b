"""Rule `track`: the finished run into MLflow."""

from cyclotrain.contract.run import Run
from cyclotrain.core.files import write_json
from cyclotrain.core.logs import rule
from cyclotrain.tracking.runs import track

with rule(snakemake.log[0]):
    tracking = snakemake.params.config["tracking"]
    address = track(
        Run.read({name: snakemake.input[name] for name in snakemake.params.files}),
        uri=tracking["uri"],
        experiment=tracking["experiment"],
        config=snakemake.params.config,
        plots=snakemake.input.plots,
        cards=snakemake.input.cards,
    )
    write_json(snakemake.output[0], address)
