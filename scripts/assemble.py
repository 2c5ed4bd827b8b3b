"""Rule `assemble`: the totals of the dataset and the contract, from all shards."""

from cyclotrain.core.logs import rule
from cyclotrain.data.assemble import assemble
from cyclotrain.data.recipe import DatasetRecipe

with rule(snakemake.log[0]):
    assemble(
        DatasetRecipe(**snakemake.params.recipe),
        receipts=snakemake.input.receipts,
        shards=snakemake.input.shards,
        contract=snakemake.output.contract,
        dataset=snakemake.output.dataset,
        parent=snakemake.input.get("parent"),
    )
