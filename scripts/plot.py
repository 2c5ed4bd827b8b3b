"""Rule `plot`: a figure, drawn from the results that are its inputs, with its numbers beside it."""

from cyclotrain.core.logs import rule
from cyclotrain.report.plots.draw import draw

with rule(snakemake.log[0]):
    results = {name: path for name, path in snakemake.input.items() if name != "code"}
    draw(snakemake.params.function, results, snakemake.output, **snakemake.params.options)
