"""Rule `summarise_folds`: the figures of a cross-training, each fold's and their mean."""

from cyclotrain.contract.run import Run
from cyclotrain.core.files import atomic
from cyclotrain.core.logs import rule
from cyclotrain.report.summary import summary_of_folds

with rule(snakemake.log[0]), atomic(snakemake.output[0]) as temporary:
    columns = zip(*(snakemake.input[name] for name in snakemake.params.files), strict=True)
    folds = [Run.read(dict(zip(snakemake.params.files, paths, strict=True))) for paths in columns]
    temporary.write_text(summary_of_folds(snakemake.params.run, folds))
