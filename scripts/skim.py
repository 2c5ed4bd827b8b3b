"""Rule `skim`: a chunk of a sample's ROOT files to an Arrow shard and its receipt."""

from cyclotrain.core.logs import rule
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim

with rule(snakemake.log[0]):
    skim(
        Recipe(**snakemake.params.recipe),
        [*snakemake.input.ntuples, *snakemake.params.urls],
        snakemake.params.friends,
        snakemake.params.skip_broken,
        snakemake.output.shard,
        snakemake.output.receipt,
    )
