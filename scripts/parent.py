"""Rule `parent`: the weights that a training begins with, and the contract that they belong to."""

import shutil

from cyclotrain.core.files import atomic
from cyclotrain.core.logs import rule
from cyclotrain.networks.registry import SavedWeights

with rule(snakemake.log[0]):
    with atomic(snakemake.output.weights) as temporary:
        if snakemake.input:
            shutil.copyfile(snakemake.input[0], temporary)
        else:
            from cyclotrain.tracking.registry import fetch_weights

            fetch_weights(snakemake.params.initial_weights, uri=snakemake.params.uri, path=temporary)
    SavedWeights.read(snakemake.output.weights).contract.write(snakemake.output.contract)
