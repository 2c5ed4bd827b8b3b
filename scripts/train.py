"""Rule `train`: the weights of the best epoch."""

from cyclotrain.config import ModelConfig, TrainingConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.training.train import rank, train

with rule(snakemake.log[0], rank()):
    train(
        Contract.read(snakemake.input.contract),
        snakemake.input.shards,
        ModelConfig(**snakemake.params.model),
        TrainingConfig(**snakemake.params.training),
        snakemake.threads,
        snakemake.output.weights,
        snakemake.output.history,
        snakemake.params.checkpoints,
    )
