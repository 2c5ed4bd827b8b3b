"""Rule `train`: the weights of the best epoch."""

from cyclotrain.config import ModelConfig, TrainingConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.training.train import TrainingFiles, rank, train

with rule(snakemake.log[0], rank()):
    train(
        Contract.read(snakemake.input.contract),
        snakemake.input.shards,
        model=ModelConfig(**snakemake.params.model),
        training=TrainingConfig(**snakemake.params.training),
        threads=snakemake.threads,
        files=TrainingFiles(
            weights=snakemake.output.weights,
            history=snakemake.output.history,
            checkpoints=snakemake.params.checkpoints,
        ),
    )
