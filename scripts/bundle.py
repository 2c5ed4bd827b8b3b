"""Rule `bundle`: the model with what its consumers need, in one folder."""

from cyclotrain.contract import Contract
from cyclotrain.core.logs import rule
from cyclotrain.deploy.bundle import Parts, bundle

with rule(snakemake.log[0]):
    parts = Parts(
        exported=snakemake.input.onnx,
        others=snakemake.input.others,
        reference=snakemake.input.reference,
        cards=snakemake.input.cards,
        plots=snakemake.input.plots,
        working_points=snakemake.input.working_points,
    )
    bundle(Contract.read(snakemake.input.contract), parts, snakemake.output[0])
