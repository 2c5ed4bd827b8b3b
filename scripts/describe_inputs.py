"""Rule `describe_inputs`: the distributions of the features."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.inputs import describe_inputs

with rule(snakemake.log[0]):
    describe_inputs(Contract.read(snakemake.input.contract), snakemake.input.shards).write(snakemake.output[0])
