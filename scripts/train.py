"""Rule `train`: the weights of the best epoch."""

from cyclotrain.config import ModelConfig, TrainingConfig, load
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.trial import try_network
from cyclotrain.training.machine import rank
from cyclotrain.training.train import TrainingFiles, train

with rule(snakemake.log[0], rank()):
    contract, shards = Contract.read(snakemake.input.contract), snakemake.input.shards
    model = ModelConfig(**snakemake.params.model)
    if rank() == 0:
        # from the config, because a change of these as params would train again
        config = load(snakemake.config)
        try_network(contract, shards, model=model, export=config.export, tolerance=config.verification.tolerance)
    train(
        contract,
        shards,
        model=model,
        training=TrainingConfig(**snakemake.params.training),
        threads=snakemake.threads,
        files=TrainingFiles(
            weights=snakemake.output.weights,
            history=snakemake.output.history,
            checkpoints=snakemake.params.checkpoints,
            parent=snakemake.input.get("parent"),
        ),
    )
