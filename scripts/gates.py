"""Rule `gates`: every verdict of a run. It does not fail if a gate does; the rule `require_gates` does."""

from cyclotrain.contract.results import STUDIES, Evaluation, Timing, Verification, all_figures
from cyclotrain.core.logs import rule
from cyclotrain.gates.judge import judge

with rule(snakemake.log[0]):
    verification = Verification.read(snakemake.input.verification)
    evaluation, timing = Evaluation.read(snakemake.input.evaluation), Timing.read(snakemake.input.timing)
    files = dict(snakemake.input.items())
    studies = [study.read(files[name]) for name, study in STUDIES.items() if name in files]
    gates = judge(
        verification,
        all_figures(verification, evaluation, timing, studies),
        bounds=snakemake.params.bounds,
        rejection_losses=snakemake.params.rejection_losses,
    )
    gates.write(snakemake.output[0])
