"""Rule `simulate`: one ROOT file of the built-in demo sample."""

from cyclotrain.core.logs import rule
from cyclotrain.demo.simulate import simulate

with rule(snakemake.log[0]):
    simulate(**snakemake.params.settings, part=int(snakemake.wildcards.part), path=snakemake.output[0])
