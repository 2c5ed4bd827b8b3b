"""Rule `predict_compared`: what an earlier model answers for the test examples of this run."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.compared import Entry, predict_compared

with rule(snakemake.log[0]):
    predict_compared(
        Contract.read(snakemake.input.contract),
        Entry(snakemake.wildcards.name, snakemake.params.where, snakemake.input.onnx),
        shards=snakemake.input.shards,
        threads=snakemake.threads,
        path=snakemake.output.test,
    ).write(snakemake.output.model)
