"""Rule `time_model`: latency and throughput of the exported model."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.timing import benchmark

with rule(snakemake.log[0]):
    benchmark(
        Contract.read(snakemake.input.contract),
        ModelConfig(**snakemake.params.model),
        snakemake.input.weights,
        snakemake.input.onnx,
        dict(zip(snakemake.params.variants, snakemake.input.variants, strict=True)),
        snakemake.input.shards,
        snakemake.input.environments,
        snakemake.output.result,
        snakemake.output.plot,
    )
