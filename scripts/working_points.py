"""Rule `working_points`: thresholds of the score, as files for an analysis."""

from cyclotrain.contract import Contract
from cyclotrain.contract.results import Evaluation
from cyclotrain.core.logs import rule
from cyclotrain.evaluation.threshold_files import write_thresholds

with rule(snakemake.log[0]):
    write_thresholds(
        Evaluation.read(snakemake.input.evaluation),
        Contract.read(snakemake.input.contract),
        path=snakemake.output.json,
        correctionlib=snakemake.output.correctionlib,
    )
