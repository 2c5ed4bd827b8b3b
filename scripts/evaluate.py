"""Rule `evaluate`: the physics of the exported model, as JSON and plots."""

from pathlib import Path

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.evaluate import evaluate

with rule(snakemake.log[0]):
    evaluate(
        Contract.read(snakemake.input.contract),
        EvaluationConfig(**snakemake.params.settings),
        snakemake.input.onnx,
        dict(zip(snakemake.params.variants, snakemake.input.variants, strict=True)),
        {kind: gates["rejection_loss"] for kind, gates in snakemake.params.variants.items()},
        snakemake.input.shards,
        snakemake.input.baseline,
        snakemake.input.history,
        snakemake.threads,
        snakemake.output.result,
        Path(snakemake.output.roc).parent,
    )
