"""Rule `evaluate`: the physics of the exported model, as figures and as curves to draw."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.evaluate import Models, evaluate

with rule(snakemake.log[0]):
    evaluation, curves = evaluate(
        Contract.read(snakemake.input.contract),
        Models(
            snakemake.input.onnx,
            dict(zip(snakemake.params.variants, snakemake.input.variants, strict=True)),
            snakemake.input.boosted_trees,
        ),
        shards=snakemake.input.shards,
        signal_efficiencies=snakemake.params.signal_efficiencies,
        threads=snakemake.threads,
    )
    curves.write(snakemake.output.curves)
    evaluation.write(snakemake.output.evaluation)
