"""The metadata that an exported model file carries."""

import json
from typing import Any

import onnx

METADATA_PREFIX = "cyclotrain."


def metadata_text(value: Any) -> str:
    """A value of the metadata as a file has it."""
    return value if isinstance(value, str) else json.dumps(value)


def model_metadata(model: onnx.ModelProto) -> dict[str, Any]:
    """The metadata written at export: contract, model, targets, commit, software, ..."""
    metadata = {p.key.removeprefix(METADATA_PREFIX): p.value for p in model.metadata_props if p.key.startswith(METADATA_PREFIX)}
    structured = ("contract", "preprocess", "model", "network_source", "targets", "software", "parent", "temperature")
    return {key: json.loads(value) if key in structured else value for key, value in metadata.items()}
