"""Rule `evaluate`: the physics of the exported model, as figures and as curves to draw."""

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Contract
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
    )
    curves.write(snakemake.output.curves)
    evaluation.write(snakemake.output.evaluation)
