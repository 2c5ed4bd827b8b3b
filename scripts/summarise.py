"""Rule `summarise`: what the run made, in a few lines."""

from cyclotrain.contract.run import Run
from cyclotrain.core.files import atomic
from cyclotrain.core.logs import rule
from cyclotrain.report.summary import summary

with rule(snakemake.log[0]), atomic(snakemake.output[0]) as temporary:
    run = Run.read({name: snakemake.input[name] for name in snakemake.params.files})
    temporary.write_text(
        summary(run, card=snakemake.input.card, bundle=snakemake.params.bundle, consumers=snakemake.params.consumers)
    )
