"""Rule `gates`: fail the workflow if parity or physics failed; their files stay as evidence."""

from cyclotrain import evaluate, verify
from cyclotrain.logs import rule
from cyclotrain.provenance import read_json, write_json

with rule(snakemake.log[0]):
    results = {"parity": read_json(snakemake.input.verification), "physics": read_json(snakemake.input.evaluation)}
    words = {"parity": verify.failure, "physics": evaluate.failure}
    failed = [words[name](content) for name, content in results.items() if not content["passed"]]
    if failed:
        raise RuntimeError("\n".join(failed))
    write_json(snakemake.output[0], dict.fromkeys(results, "passed"))
