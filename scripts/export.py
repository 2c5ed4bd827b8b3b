"""Rule `export`: the trained model to ONNX, and where it is asked for the network alone with its preprocess.json."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.to_onnx import export, export_network

with rule(snakemake.log[0]):
    trained = (
        Contract.read(snakemake.input.contract),
        ModelConfig(**snakemake.params.model),
        snakemake.input.weights,
        snakemake.params.targets,
    )
    export(*trained, snakemake.output[0])
    if snakemake.output.network:
        export_network(*trained, *snakemake.output.network)
