"""Rule `gates`: fail the workflow if parity or physics failed; their files stay as evidence."""

from collections.abc import Mapping
from typing import Any

from cyclotrain.core.files import read_json, write_json
from cyclotrain.core.logs import rule


def parity(content: Mapping[str, Any]) -> str:
    """What the gate says of a verification.json that failed."""
    failed = content["failed"]
    more = f"\n  and {len(failed) - 5} more" if len(failed) > 5 else ""
    return (
        "\n  ".join(["what was exported does not agree with PyTorch:", *failed[:5]]) + more + f"\nEvidence: {content['evidence']}"
    )


def physics(content: Mapping[str, Any]) -> str:
    """What the gate says of an evaluation.json that failed."""
    return "\n  ".join(["the physics is below what the config asks for:", *content["failed"]])


with rule(snakemake.log[0]):
    results = {parity: read_json(snakemake.input.verification), physics: read_json(snakemake.input.evaluation)}
    failed = [words(content) for words, content in results.items() if not content["passed"]]
    if failed:
        raise RuntimeError("\n".join(failed))
    write_json(snakemake.output[0], {words.__name__: "passed" for words in results})
