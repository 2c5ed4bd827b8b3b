"""Rule `summarise`: what the run made, in a few lines."""

from cyclotrain.core.files import atomic
from cyclotrain.core.logs import rule
from cyclotrain.report.summary import summary

with rule(snakemake.log[0]), atomic(snakemake.output[0]) as temporary:
    temporary.write_text(summary(snakemake.params.run, dict(snakemake.input.items())))
