"""What an exported model file says of itself."""

import json
from typing import Any

import onnx

METADATA_PREFIX = "cyclotrain."
OUTPUT = "probabilities"
# among the files that are verified, the one that takes raw branches; the others are made of it or beside it
MODEL = "model"


def model_metadata(model: onnx.ModelProto) -> dict[str, Any]:
    """What was written into the file: contract, model, targets, commit, software, ..."""
    metadata = {p.key.removeprefix(METADATA_PREFIX): p.value for p in model.metadata_props if p.key.startswith(METADATA_PREFIX)}
    structured = ("contract", "preprocess", "model", "targets", "software")
    return {key: json.loads(value) if key in structured else value for key, value in metadata.items()}
