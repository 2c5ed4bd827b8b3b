"""Rule `baseline`: boosted trees on example-level features."""

from cyclotrain.baseline import baseline
from cyclotrain.contract import Contract
from cyclotrain.logs import rule

with rule(snakemake.log[0]):
    baseline(Contract.read(snakemake.input.contract), snakemake.input.shards, snakemake.output[0])
