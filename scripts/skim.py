"""Rule `skim`: some ROOT files of a sample to an Arrow shard and its receipt."""

from cyclotrain.core.logs import rule
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import skim

with rule(snakemake.log[0]):
    skim(
        Recipe(**snakemake.params.recipe),
        [*snakemake.input.ntuples, *snakemake.params.urls],
        friends=snakemake.params.friends,
        skip_broken=snakemake.params.skip_broken,
        shard=snakemake.output.shard,
        receipt=snakemake.output.receipt,
    )
