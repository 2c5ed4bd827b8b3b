"""Rule `reference_vectors`: real test examples and the answers that each consumer of the model must give."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.deploy.reference import write_reference

with rule(snakemake.log[0]):
    contract = Contract.read(snakemake.input.contract)
    write_reference(contract, snakemake.input.onnx, shards=snakemake.input.shards, folder=snakemake.output[0])
