"""The trained model to ONNX: raw branches in, probabilities out, for the runtimes of the targets."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
import torch
from torch import Tensor, nn

from cyclotrain import __version__, config
from cyclotrain.contract import Contract, Layout, mask_group
from cyclotrain.contract.metadata import METADATA_PREFIX, OUTPUT
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic, file_sha256, write_json
from cyclotrain.core.provenance import commit, software
from cyclotrain.export.cmssw_preprocess import NetworkAlone, preprocess_json
from cyclotrain.networks.registry import Classifier, Probabilities, load_model
from cyclotrain.runtimes.targets import OLDEST_EXPORTED, runtime_of, settings_for

_log = logging.getLogger(__name__)


def export(contract: Contract, model: config.ModelConfig, weights: str | Path, targets: Sequence[str], path: str | Path) -> None:
    """Write model.onnx: one float32 input a branch, scalars [batch, 1] and jagged ones [batch, <set>], both axes dynamic.

    The contract and the provenance stand in `metadata_props`; nothing in the file depends on time or place, so that the
    same commit, data and CPU give the same bytes.
    """
    ir_version, opset = settings_for(targets)
    network = Probabilities(load_model(contract, model, weights)).eval()
    with _named(targets, opset):
        proto = branches_to_onnx(network, contract.layout, opset, ir_version)
    write_onnx(proto, {"contract": contract.to_dict(), **_provenance(contract, model, weights, targets)}, path)


def export_network(
    contract: Contract,
    model: config.ModelConfig,
    weights: str | Path,
    targets: Sequence[str],
    path: str | Path,
    path_json: str | Path,
) -> None:
    """Write the network alone, on features that CMSSW's ParticleNetConstructor prepares by the preprocess.json beside it.

    Its inputs are [batch, variables, length], in groups; see the module `preprocess`.
    """
    content = preprocess_json(contract.layout)
    ir_version, opset = settings_for(targets)
    with _named(targets, opset):
        proto = network_to_onnx(load_model(contract, model, weights), contract.layout, opset, ir_version)
    write_onnx(proto, {"preprocess": content, **_provenance(contract, model, weights, targets)}, path)
    write_json(path_json, content)


def branches_to_onnx(module: nn.Module, layout: Layout, opset: int, ir_version: int) -> onnx.ModelProto:
    """A module from branches to probabilities."""
    inputs, axes = {}, {}
    for branch, name in layout.inputs.items():
        # Longer than max_length, so that the cut is part of the graph.
        inputs[branch] = _example(1 if name is None else (layout.sets[name].max_length or 1) + 3)
        axes[branch] = {0: "batch"} if name is None else {0: "batch", 1: name}
    return _to_onnx(module, inputs, axes, opset, ir_version)


def network_to_onnx(model: Classifier, layout: Layout, opset: int, ir_version: int) -> onnx.ModelProto:
    """The network behind the features of `layout`."""
    inputs, axes = {}, {}
    for name, features in layout.sets.items():
        if features.is_jagged:
            inputs[name], inputs[mask_group(name)] = _example(len(features.features), 7), _example(1, 7)
            axes[name] = axes[mask_group(name)] = {0: "batch", 2: name}
        else:
            inputs[name] = _example(len(features.features), 1)
            axes[name] = {0: "batch"}
    return _to_onnx(NetworkAlone(model, layout).eval(), inputs, axes, opset, ir_version)


def _example(*shape: int) -> Tensor:
    # five of them: no other axis has this size, so that no two are tied
    return torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)) + 0.5


def _to_onnx(
    module: nn.Module, inputs: Mapping[str, Tensor], axes: Mapping[str, Mapping[int, str]], opset: int, ir_version: int
) -> onnx.ModelProto:
    """A module from tensors by name to one tensor; `axes`: the names of the dynamic ones."""
    dims = {name: torch.export.Dim(name) for of_input in axes.values() for name in of_input.values()}
    shapes = {name: {axis: dims[of] for axis, of in of_input.items()} for name, of_input in axes.items()}
    # it tells four times that torchvision is not there
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns of its own deprecations, and of every axis that shares a name, as ours do on purpose.
        warnings.simplefilter("ignore")
        # The empty dictionary is for the keyword arguments, which a last dictionary would be taken for.
        program = torch.onnx.export(
            module, (inputs, {}), input_names=list(inputs), output_names=[OUTPUT],
            dynamic_shapes=(shapes,), opset_version=max(opset, OLDEST_EXPORTED), dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = _converted(program.model_proto, opset)
    proto.ir_version = ir_version
    _strip(proto)
    return proto


def _provenance(contract: Contract, model: config.ModelConfig, weights: str | Path, targets: Sequence[str]) -> dict[str, Any]:
    return {
        "classes": ",".join(contract.classes),  # for consumers that read no JSON
        "model": model.model_dump(),
        "weights_sha256": file_sha256(weights),
        "targets": list(targets),
        "version": __version__,
        "commit": commit(),
        "software": software(),
    }


def write_onnx(proto: onnx.ModelProto, metadata: Mapping[str, Any], path: str | Path) -> None:
    """Check and write a model, with `metadata` on top of what it has."""
    for key, value in metadata.items():
        proto.metadata_props.add(key=METADATA_PREFIX + key, value=value if isinstance(value, str) else json.dumps(value))
    onnx.checker.check_model(proto, full_check=True)
    with atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
    opset, size = proto.opset_import[0].version, Path(path).stat().st_size
    _log.info("%s: opset %d, IR version %d; %d bytes", Path(path).name, opset, proto.ir_version, size)


class _ConversionError(ValueError):
    """A model that an older opset cannot express; the message names the operators."""


def _converted(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model at an opset that is not newer than its own."""
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
        listed = ", ".join(f"{name} (opset {v})" for name, v in newer.items())
        raise _ConversionError(f"{listed}. (onnx: {str(error).splitlines()[0]})") from error


@contextmanager
def _named(targets: Sequence[str], opset: int) -> Iterator[None]:
    """Turn a failed conversion into an InputError that names the targets that ask for it."""
    try:
        yield
    except _ConversionError as error:
        oldest = [target for target in targets if runtime_of(target).opset == opset]
        raise InputError(
            f"export.targets: {', '.join(oldest)} loads opset {opset} at most, and the network uses operators that changed "
            f"after it and cannot be converted; take the target out, or change the network: {error}"
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
