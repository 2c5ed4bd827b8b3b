"""Rule `compared_model`: the ONNX file of an earlier model that is laid over."""

import shutil

from cyclotrain.core.files import atomic
from cyclotrain.core.logs import rule

with rule(snakemake.log[0]), atomic(snakemake.output[0]) as temporary:
    if snakemake.input:
        shutil.copyfile(snakemake.input[0], temporary)
    else:
        from cyclotrain.tracking.registry import fetch_registered

        key = f"compare.{snakemake.wildcards.name}"
        fetch_registered(snakemake.params.where, key=key, uri=snakemake.params.uri, path=temporary)
