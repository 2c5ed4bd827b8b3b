"""Rules `predict` and `predict_other`: what a model answers for the examples of a split."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.predictions import write_answers, write_examples
from cyclotrain.runtimes.sessions import open_session

with rule(snakemake.log[0]):
    contract = Contract.read(snakemake.input.contract)
    session = open_session(snakemake.input.onnx, snakemake.threads)
    for name, path in snakemake.output.items():
        split = name.removesuffix("_examples")
        if name == split:
            write_answers(contract, snakemake.input.shards, session, split=split, path=path)
        else:
            write_examples(contract, snakemake.input.shards, split=split, path=path)
