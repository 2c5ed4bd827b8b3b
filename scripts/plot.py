"""Rule `plot`: a figure, drawn from the results that are its inputs, with its numbers beside it."""

from cyclotrain.core.logs import rule
from cyclotrain.report.plots.draw import draw
from cyclotrain.report.plots.style import Label

with rule(snakemake.log[0]):
    results = {name: path for name, path in snakemake.input.items() if name != "code"}
    label = Label(**snakemake.params.label) if snakemake.params.label else None
    draw(snakemake.params.function, results, snakemake.output, label=label, **snakemake.params.options)
