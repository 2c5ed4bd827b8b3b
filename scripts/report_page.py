"""Rule `report_page`: Snakemake's own report, all of a run on one page."""

from cyclotrain.core.logs import rule
from cyclotrain.report.snakemake_page import write_page

with rule(snakemake.log[0]):
    write_page(snakemake.params.snakefile, snakemake.config, snakemake.output[0])
