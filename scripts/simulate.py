"""Rule `simulate`: one ROOT file of the built-in demo sample."""

from cyclotrain.core.logs import rule
from cyclotrain.demo.simulate import simulate

with rule(snakemake.log[0]):
    simulate(snakemake.output[0], part=int(snakemake.wildcards.part), **snakemake.params.settings)
