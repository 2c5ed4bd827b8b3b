"""Rule `compare_data`: recorded data against simulation."""

from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.data import compare_data
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.runtimes.sessions import open_session

with rule(snakemake.log[0]):
    contract = Contract.read(snakemake.input.contract)
    compare_data(
        contract,
        snakemake.input.shards,
        Predictions(contract, examples=snakemake.input.test_examples, answers={MODEL: snakemake.input.test}),
        data=snakemake.input.data,
        session=open_session(snakemake.input.onnx, snakemake.threads),
    ).write(snakemake.output[0])
