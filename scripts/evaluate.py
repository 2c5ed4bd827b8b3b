"""Rule `evaluate`: the physics of the exported model, as figures and as curves to draw."""

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import ComparedModel
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.evaluate import evaluate
from cyclotrain.evaluation.predictions import Predictions

with rule(snakemake.log[0]):
    contract = Contract.read(snakemake.input.contract)
    others = dict(zip(snakemake.params.scorers, snakemake.input.others, strict=True))
    evaluation, curves = evaluate(
        contract,
        {
            "train": Predictions(contract, examples=snakemake.input.train_examples, answers={"model": snakemake.input.train}),
            "test": Predictions(
                contract, examples=snakemake.input.test_examples, answers={"model": snakemake.input.test, **others}
            ),
        },
        model=snakemake.input.onnx,
        settings=EvaluationConfig(**snakemake.params.evaluation),
        compared=[ComparedModel.read(path) for path in snakemake.input.compared],
    )
    curves.write(snakemake.output.curves)
    evaluation.write(snakemake.output.evaluation)
