"""Rule `train`: the weights of the best epoch."""

from contextlib import ExitStack

from cyclotrain.config import ModelConfig, TrainingConfig, load
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.export.trial import try_network
from cyclotrain.tracking.live import beside
from cyclotrain.training.machine import rank
from cyclotrain.training.train import TrainingFiles, train

with rule(snakemake.log[0], rank()), ExitStack() as around:
    contract, shards = Contract.read(snakemake.input.contract), snakemake.input.shards
    model, history = ModelConfig(**snakemake.params.model), snakemake.output.history
    if rank() == 0:
        # from the config, because a change of these as params would train again
        config = load(snakemake.config)
        try_network(contract, shards, model=model, export=config.export, tolerance=config.verification.tolerance)
        if config.tracking.live:
            around.enter_context(beside(history, tracking=config.tracking, run=contract.run, config=config.model_dump()))
    train(
        contract,
        shards,
        model=model,
        training=TrainingConfig(**snakemake.params.training),
        threads=snakemake.threads,
        files=TrainingFiles(
            weights=snakemake.output.weights,
            history=history,
            checkpoints=snakemake.params.checkpoints,
            parent=snakemake.input.get("parent"),
        ),
    )
