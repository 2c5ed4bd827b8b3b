"""Rule `model_card`: what the model is, and how that is known."""

from cyclotrain.contract.run import Run
from cyclotrain.core.logs import rule
from cyclotrain.report.card import card
from cyclotrain.report.facts import About

with rule(snakemake.log[0]):
    run = Run.read({name: snakemake.input[name] for name in snakemake.params.files})
    about = About(snakemake.params.description, snakemake.params.licence, snakemake.params.training)
    card(run, about, dict(zip(snakemake.params.titles, snakemake.input.plots, strict=True))).write(
        snakemake.output.markdown, snakemake.output.html
    )
