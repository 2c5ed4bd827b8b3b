"""Rule `export`: the trained model to ONNX."""

from cyclotrain.config import Model
from cyclotrain.contract import Contract
from cyclotrain.export import export
from cyclotrain.logs import rule

with rule(snakemake.log[0]):
    export(
        Contract.read(snakemake.input.contract),
        Model(**snakemake.params.model),
        snakemake.input.weights,
        snakemake.params.targets,
        snakemake.output[0],
    )
