"""Rule `report_page`: all of a run on one page."""

from cyclotrain.config import load
from cyclotrain.contract.run import Run
from cyclotrain.core.logs import rule
from cyclotrain.report.catalogue import plots
from cyclotrain.report.facts import About
from cyclotrain.report.page import write_page

with rule(snakemake.log[0]):
    config = load(snakemake.params.config)
    write_page(
        Run.read({name: snakemake.input[name] for name in snakemake.params.files}),
        About(config.description, config.licence, config.training.model_dump()),
        plots=plots(config),
        config=snakemake.params.config,
        bundle=snakemake.params.bundle,
        path=snakemake.output[0],
    )
