"""Rule `model_card`: what the model is, and how that is known."""

from cyclotrain.core.logs import rule
from cyclotrain.report.card import card

with rule(snakemake.log[0]):
    card(
        snakemake.params.description,
        snakemake.params.licence,
        snakemake.params.training,
        {name: snakemake.input[name] for name in snakemake.params.files},
        snakemake.input.plots,
        snakemake.output.markdown,
        snakemake.output.html,
    )
