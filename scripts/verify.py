"""Rule `verify`: ONNX Runtime against PyTorch. The rule `gates` fails if they differ, so that the evidence stays."""

from cyclotrain.config import Model
from cyclotrain.contract import Contract
from cyclotrain.logs import rule
from cyclotrain.verify import verify

with rule(snakemake.log[0]):
    verify(
        Contract.read(snakemake.input.contract),
        Model(**snakemake.params.model),
        snakemake.input.weights,
        snakemake.input.onnx,
        snakemake.input.shards,
        snakemake.input.environments,
        snakemake.params.tolerance,
        snakemake.threads,
        snakemake.output[0],
        snakemake.params.evidence,
    )
