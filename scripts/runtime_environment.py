"""Rule `runtime_environment`: an ONNX Runtime release in an environment of its own."""

from cyclotrain.core.logs import rule
from cyclotrain.runtimes.environments import install

with rule(snakemake.log[0]):
    install(snakemake.wildcards.version, folder=snakemake.params.folder, result=snakemake.output[0])
