"""Rule `variant`: a faster or smaller form of the exported model."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.trained import TrainedModel
from cyclotrain.export.variants import make_variant

with rule(snakemake.log[0]):
    make_variant(
        snakemake.wildcards.kind,
        TrainedModel(Contract.read(snakemake.input.contract), ModelConfig(**snakemake.params.model), snakemake.input.weights),
        exported=snakemake.input.onnx,
        shards=snakemake.input.shards,
        path=snakemake.output[0],
    )
