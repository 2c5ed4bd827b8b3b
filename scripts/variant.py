"""Rule `variant`: a faster or smaller form of the exported model."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.variants import make_variant

with rule(snakemake.log[0]):
    make_variant(
        snakemake.wildcards.kind,
        Contract.read(snakemake.input.contract),
        ModelConfig(**snakemake.params.model),
        snakemake.input.weights,
        snakemake.input.onnx,
        snakemake.input.shards,
        snakemake.output[0],
    )
