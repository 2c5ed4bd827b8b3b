"""Rules `plot_*`: a figure, drawn from the results that are its inputs."""

from cyclotrain.core.logs import rule
from cyclotrain.report.plots.draw import draw

with rule(snakemake.log[0]):
    results = {name: path for name, path in snakemake.input.items() if name != "code"}
    draw(snakemake.params.figure, results, snakemake.output, **snakemake.params.get("options", {}))
