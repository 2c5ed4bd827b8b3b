"""Rule `bundle`: the model with what its consumers need, in one folder."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.deploy.bundle import Parts, bundle

with rule(snakemake.log[0]):
    parts = Parts(
        forms={form: snakemake.input[form] for form in snakemake.params.forms},
        reference=snakemake.input.reference,
        cards=snakemake.input.cards,
        plots=snakemake.input.plots,
        variants=snakemake.input.variants,
        working_points=snakemake.input.working_points,
    )
    bundle(Contract.read(snakemake.input.contract), snakemake.params.consumers, parts, snakemake.output[0])
