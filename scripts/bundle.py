"""Rule `bundle`: the model with what its consumers need, in one folder."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.deploy.bundle import bundle

with rule(snakemake.log[0]):
    bundle(
        Contract.read(snakemake.input.contract),
        snakemake.input.onnx,
        snakemake.input.others,
        snakemake.input.reference,
        snakemake.input.cards,
        snakemake.input.plots,
        snakemake.output[0],
    )
