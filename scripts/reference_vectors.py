"""Rule `reference_vectors`: real test examples with the answers that every consumer of the model must give."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.deploy.reference import write_reference

with rule(snakemake.log[0]):
    write_reference(Contract.read(snakemake.input.contract), snakemake.input.onnx, snakemake.input.shards, snakemake.output[0])
