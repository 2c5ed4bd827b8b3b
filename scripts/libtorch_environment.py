"""Rule `libtorch_environment`: a LibTorch release with a C++ program that runs models in it."""

from cyclotrain.core.logs import rule
from cyclotrain.runtimes.environments import install_libtorch

with rule(snakemake.log[0]):
    install_libtorch(snakemake.wildcards.version, folder=snakemake.params.folder, result=snakemake.output[0])
