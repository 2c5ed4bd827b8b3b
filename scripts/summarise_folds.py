"""Rule `summarise_folds`: the figures of a cross-training, each fold's and their mean."""

from cyclotrain.contract.run import Run
from cyclotrain.core.files import atomic
from cyclotrain.core.logs import rule
from cyclotrain.report.summary import summary_of_folds, table_of_figures

with rule(snakemake.log[0]):
    columns = zip(*(snakemake.input[name] for name in snakemake.params.files), strict=True)
    folds = [Run.read(dict(zip(snakemake.params.files, paths, strict=True))) for paths in columns]
    figures = table_of_figures([fold.figures() for fold in folds], "each fold")
    texts = {snakemake.output.summary: summary_of_folds(snakemake.params.run, folds)}
    texts[snakemake.output.figures] = "\n".join(figures) + "\n"
    for path, text in texts.items():
        with atomic(path) as temporary:
            temporary.write_text(text)
