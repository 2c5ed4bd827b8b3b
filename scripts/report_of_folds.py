"""Rule `report_of_folds`: the page of a cross-training, with the figures of all folds and the way to the page of each."""

from cyclotrain.core.logs import rule
from cyclotrain.report.page import write_page_of_folds

with rule(snakemake.log[0]):
    write_page_of_folds(
        snakemake.params.run,
        description=snakemake.params.description,
        texts={name: snakemake.input[name] for name in ("summary", "figures")},
        pages=snakemake.input.pages,
        path=snakemake.output[0],
    )
