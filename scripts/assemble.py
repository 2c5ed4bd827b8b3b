"""Rule `assemble`: all shards to the dataset's totals and the contract."""

from cyclotrain.core.logs import rule
from cyclotrain.data.assemble import assemble
from cyclotrain.data.recipe import DatasetRecipe

with rule(snakemake.log[0]):
    assemble(
        DatasetRecipe(**snakemake.params.recipe),
        snakemake.input.receipts,
        snakemake.input.shards,
        snakemake.output.contract,
        snakemake.output.dataset,
    )
