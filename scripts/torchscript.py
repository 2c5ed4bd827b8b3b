"""Rule `torchscript`: the trained model for LibTorch."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.to_torch import export_torchscript
from cyclotrain.export.trained import TrainedModel

with rule(snakemake.log[0]):
    trained = TrainedModel(
        Contract.read(snakemake.input.contract), ModelConfig(**snakemake.params.model), snakemake.input.weights
    )
    export_torchscript(trained, snakemake.output[0])
