"""Rule `baseline`: boosted trees on example-level features."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.boosted_trees import baseline

with rule(snakemake.log[0]):
    baseline(Contract.read(snakemake.input.contract), snakemake.input.shards, path=snakemake.output[0])
