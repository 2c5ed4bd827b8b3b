"""Rule `summarise_folds`: the figures of a cross-training, each fold's and their mean."""

from cyclotrain.core.files import atomic, read_json
from cyclotrain.core.logs import rule
from cyclotrain.report.summary import summary_of_folds

with rule(snakemake.log[0]), atomic(snakemake.output[0]) as temporary:
    evaluations = [read_json(path) for path in snakemake.input.evaluations]
    verifications = [read_json(path) for path in snakemake.input.verifications]
    temporary.write_text(summary_of_folds(snakemake.params.run, evaluations, verifications))
