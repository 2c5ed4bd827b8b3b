"""Rule `simulate`: one ROOT file of the built-in demo sample."""

from cyclotrain.demo.simulate import simulate
from cyclotrain.logs import rule

with rule(snakemake.log[0]):
    simulate(**snakemake.params.settings, part=int(snakemake.wildcards.part), path=snakemake.output[0])
