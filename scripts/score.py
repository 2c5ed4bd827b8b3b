"""Rule `score_file`: the friend tree of one ntuple."""

from cyclotrain.logs import rule
from cyclotrain.provenance import read_json
from cyclotrain.score import Ntuple, score

with rule(snakemake.log[0]):
    (path,) = [*snakemake.input.ntuple, *snakemake.params.url]
    score(
        Ntuple(path=path, **snakemake.params.ntuple),
        snakemake.input.onnx,
        read_json(snakemake.input.verification)["model_sha256"],
        snakemake.output[0],
        snakemake.threads,
    )
