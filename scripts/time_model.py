"""Rule `time_model`: latency and throughput of the exported model."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.timing import Exported, time_model

with rule(snakemake.log[0]):
    timing = time_model(
        Contract.read(snakemake.input.contract),
        ModelConfig(**snakemake.params.model),
        Exported(
            snakemake.input.onnx,
            snakemake.input.weights,
            dict(zip(snakemake.params.variants, snakemake.input.variants, strict=True)),
            forms={name: snakemake.input[name] for name in snakemake.params.forms},
        ),
        shards=snakemake.input.shards,
        environments=[*snakemake.input.environments, *snakemake.input.libtorch],
    )
    timing.write(snakemake.output[0])
