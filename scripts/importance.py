"""Rule `importance`: what each feature is worth to the model."""

from cyclotrain.config import ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.importance import importance
from cyclotrain.networks.registry import load_model

with rule(snakemake.log[0]):
    contract = Contract.read(snakemake.input.contract)
    model = load_model(contract, ModelConfig(**snakemake.params.model), snakemake.input.weights)
    importance(contract, snakemake.input.shards, model).write(snakemake.output[0])
