"""Rule `systematics`: what variations of the simulation do to scores, ROC curves and working points."""

from cyclotrain.config.systematics import SystematicConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.evaluation.systematics import Nominal, measure_systematics
from cyclotrain.runtimes.sessions import open_session

with rule(snakemake.log[0]):
    contract = Contract.read(snakemake.input.contract)
    predictions = Predictions(contract, examples=snakemake.input.test_examples, answers={MODEL: snakemake.input.test})
    others: dict[str, list[str]] = {}
    for name, shard in zip(snakemake.params.samples, snakemake.input.others, strict=True):
        others.setdefault(name, []).append(shard)
    measure_systematics(
        contract,
        Nominal(snakemake.input.shards, predictions, open_session(snakemake.input.onnx, snakemake.threads)),
        systematics={name: SystematicConfig(**one) for name, one in snakemake.params.systematics.items()},
        others=others,
        signal_efficiencies=snakemake.params.signal_efficiencies,
    ).write(snakemake.output[0])
