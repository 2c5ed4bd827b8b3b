"""Rule `scan_learning_rates`: the loss against the learning rate, and a rate to try."""

from cyclotrain.config import ModelConfig, TrainingConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.training.learning_rate import ScanFiles, find_learning_rate

with rule(snakemake.log[0]):
    find_learning_rate(
        Contract.read(snakemake.input.contract),
        snakemake.input.shards,
        model=ModelConfig(**snakemake.params.model),
        training=TrainingConfig(**snakemake.params.training),
        threads=snakemake.threads,
        files=ScanFiles(snakemake.output[0], snakemake.input.get("parent")),
    )
