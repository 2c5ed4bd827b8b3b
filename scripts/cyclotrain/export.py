"""The trained model to ONNX: raw branches in, probabilities out, for the runtimes of the targets."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
import torch

from cyclotrain import __version__, config
from cyclotrain.contract import Contract
from cyclotrain.errors import InputError
from cyclotrain.models import Probabilities
from cyclotrain.provenance import atomic, commit, file_sha256, software
from cyclotrain.targets import OLDEST_EXPORTED, runtime_of, settings_for
from cyclotrain.train import load_model

METADATA_PREFIX = "cyclotrain."
OUTPUT = "probabilities"
_log = logging.getLogger(__name__)


def export(contract: Contract, model: config.Model, weights: str | Path, targets: Sequence[str], path: str | Path) -> None:
    """Write model.onnx: one float32 input a branch, scalars [batch, 1] and jagged ones [batch, <set>], both axes dynamic.

    The contract and the provenance stand in `metadata_props`; nothing in the file depends on time or place, so that the
    same commit, data and CPU give the same bytes.
    """
    ir_version, opset = settings_for(targets)
    network = Probabilities(load_model(contract, model, weights)).eval()
    batch = torch.export.Dim("batch")
    lengths = {name: torch.export.Dim(name) for name, s in contract.layout.sets.items() if s.is_jagged}
    inputs, shapes = {}, {}
    for branch, name in contract.layout.inputs.items():
        # Longer than max_length, so that the cut is part of the graph; different sizes, so that no two axes are tied.
        length = 1 if name is None else (contract.layout.sets[name].max_length or 1) + 3
        inputs[branch] = torch.rand(5, length, generator=torch.Generator().manual_seed(0)) + 0.5
        shapes[branch] = {0: batch} if name is None else {0: batch, 1: lengths[name]}
    # it tells four times that torchvision is not there
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations, and of every axis that shares a name, as ours do on purpose.
        warnings.simplefilter("ignore")
        # The empty dictionary is for the keyword arguments, which a last dictionary would be taken for.
        program = torch.onnx.export(
            network, (inputs, {}), input_names=list(inputs), output_names=[OUTPUT],
            dynamic_shapes=(shapes,), opset_version=max(opset, OLDEST_EXPORTED), dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = _converted(program.model_proto, opset, targets)
    proto.ir_version = ir_version
    _strip(proto)
    metadata = {
        "contract": contract.to_dict(),
        "classes": ",".join(contract.classes),  # for consumers that read no JSON
        "model": model.model_dump(),
        "weights_sha256": file_sha256(weights),
        "targets": list(targets),
        "version": __version__,
        "commit": commit(),
        "software": software(),
    }
    onnx.helper.set_model_props(
        proto,
        {METADATA_PREFIX + key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()},
    )
    onnx.checker.check_model(proto, full_check=True)
    with atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
    _log.info("opset %d, IR version %d, for %s; %d bytes", opset, ir_version, ", ".join(targets), Path(path).stat().st_size)


def model_metadata(model: onnx.ModelProto) -> dict[str, Any]:
    """What `export` wrote into the file: contract, model, targets, commit, software, ..."""
    metadata = {p.key.removeprefix(METADATA_PREFIX): p.value for p in model.metadata_props if p.key.startswith(METADATA_PREFIX)}
    structured = ("contract", "model", "targets", "software")
    return {key: json.loads(value) if key in structured else value for key, value in metadata.items()}


def _converted(proto: onnx.ModelProto, opset: int, targets: Sequence[str]) -> onnx.ModelProto:
    """The model at an opset that is not newer than its own; raises InputError naming the operators that it does not have."""
    if proto.opset_import[0].version == opset:
        return proto
    newer = {
        node.op_type: since
        for node in proto.graph.node
        if (since := onnx.defs.get_schema(node.op_type, proto.opset_import[0].version, node.domain).since_version) > opset
    }
    try:
        return onnx.version_converter.convert_version(proto, opset)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        oldest = [target for target in targets if runtime_of(target).opset == opset]
        raise InputError(
            f"export.targets: {', '.join(oldest)} loads opset {opset} at most, and the network uses operators that changed "
            f"after it and cannot be converted: {', '.join(f'{name} (opset {v})' for name, v in newer.items())}. "
            f"Take the target out, or change the network. (onnx: {str(error).splitlines()[0]})"
        ) from error


def _strip(proto: onnx.ModelProto) -> None:
    """Take out the exporter's notes, which hold stack traces with the paths of this machine."""
    for part in (
        proto.graph,
        *proto.graph.node,
        *proto.graph.value_info,
        *proto.graph.initializer,
        *proto.graph.input,
        *proto.graph.output,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
