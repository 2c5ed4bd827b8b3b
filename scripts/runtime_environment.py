"""Rule `runtime_environment`: an ONNX Runtime release in an environment of its own."""

from cyclotrain.logs import rule
from cyclotrain.runtime_environments import install

with rule(snakemake.log[0]):
    install(snakemake.wildcards.version, snakemake.output[0])
