"""Rule `aot_inductor`: the trained model compiled for LibTorch and one instruction set."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.to_aot_inductor import export_aot_inductor
from cyclotrain.export.trained import TrainedModel
from cyclotrain.runtimes.instruction_sets import level_of

with rule(snakemake.log[0]):
    trained = TrainedModel(
        Contract.read(snakemake.input.contract), ModelConfig(**snakemake.params.model), snakemake.input.weights
    )
    export_aot_inductor(trained, level_of(snakemake.wildcards.name), snakemake.output[0])
