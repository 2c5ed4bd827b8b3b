"""Rule `score_file`: the friend tree of one ntuple."""

from cyclotrain.core.files import read_json
from cyclotrain.core.logs import rule
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.ingest.joined import Friend

with rule(snakemake.log[0]):
    ntuple = {**snakemake.params.ntuple, "friends": [Friend(**of) for of in snakemake.params.ntuple["friends"]]}
    (path,) = [*snakemake.input.ntuple, *snakemake.params.url]
    score(
        Ntuple(path=path, **ntuple),
        {
            onnx: read_json(verification)["model_sha256"]
            for onnx, verification in zip(snakemake.input.onnx, snakemake.input.verification, strict=True)
        },
        snakemake.output[0],
        snakemake.threads,
    )
