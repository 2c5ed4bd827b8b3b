"""Rule `export_network`: the network alone, and the preprocess.json for CMSSW's ParticleNetConstructor."""

from cyclotrain.config import Model
from cyclotrain.contract import Contract
from cyclotrain.export import export_network
from cyclotrain.logs import rule

with rule(snakemake.log[0]):
    export_network(
        Contract.read(snakemake.input.contract),
        Model(**snakemake.params.model),
        snakemake.input.weights,
        snakemake.params.targets,
        snakemake.output.onnx,
        snakemake.output.preprocess,
    )
