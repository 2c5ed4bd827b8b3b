"""Rule `gates`: every verdict of a run. It does not fail if a gate does; the rule `require_gates` does."""

from cyclotrain.config import EvaluationConfig, QuantityConfig
from cyclotrain.contract.results import Evaluation, Verification
from cyclotrain.core.logs import rule
from cyclotrain.gates.judge import judge

with rule(snakemake.log[0]):
    gates = judge(
        Verification.read(snakemake.input.verification),
        Evaluation.read(snakemake.input.evaluation),
        limits=EvaluationConfig(**snakemake.params.limits),
        rejection_losses=snakemake.params.rejection_losses,
        regression={name: QuantityConfig(**quantity) for name, quantity in snakemake.params.regression.items()},
    )
    gates.write(snakemake.output[0])
