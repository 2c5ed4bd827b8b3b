"""Rule `score_file`: the friend tree of one ntuple."""

from cyclotrain.core.files import read_json
from cyclotrain.core.logs import rule
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.ingest.joined import Friend

with rule(snakemake.log[0]):
    (path,) = [*snakemake.input.ntuple, *snakemake.params.url]
    ntuple = dict(snakemake.params.ntuple)
    ntuple["friends"] = [Friend(**friend) for friend in ntuple["friends"]]
    models = zip(snakemake.input.onnx, snakemake.input.verification, strict=True)
    score(
        Ntuple(path, **ntuple),
        {onnx: read_json(verification)["model_sha256"] for onnx, verification in models},
        friend=snakemake.output[0],
        threads=snakemake.threads,
    )
