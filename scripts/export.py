"""Rule `export`: the trained model as ONNX and, if the config asks for it, the network with the JSON of
CMSSW or of WeaverInterface."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.to_onnx import export, export_for_weaver_interface, export_network
from cyclotrain.export.trained import TrainedModel

with rule(snakemake.log[0]):
    trained = TrainedModel(
        Contract.read(snakemake.input.contract), ModelConfig(**snakemake.params.model), snakemake.input.weights
    )
    export(trained, targets=snakemake.params.targets, path=snakemake.output[0])
    if snakemake.output.network:
        network, preprocess = snakemake.output.network
        export_network(trained, targets=snakemake.params.targets, path=network, preprocess=preprocess)
    if snakemake.output.fccanalyses:
        network, preprocess = snakemake.output.fccanalyses
        export_for_weaver_interface(trained, targets=snakemake.params.targets, path=network, preprocess=preprocess)
