"""Rule `require_gates`: fail the run, at its end, if a gate failed."""

from cyclotrain.contract.results import Gates
from cyclotrain.core.files import atomic
from cyclotrain.core.logs import rule
from cyclotrain.gates.judge import require

with rule(snakemake.log[0]):
    gates = {folder: Gates.read(path) for folder, path in zip(snakemake.params.folds, snakemake.input.gates, strict=True)}
    verdicts = require(gates, bundles=snakemake.params.bundles)
    with atomic(snakemake.output[0]) as temporary:
        temporary.write_text(verdicts)
