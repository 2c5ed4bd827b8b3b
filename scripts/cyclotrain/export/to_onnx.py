"""The trained model as ONNX: raw branches in, probabilities and regressed quantities out, for the runtimes of the targets."""

import itertools
import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
import onnx_ir
import torch
from torch import Tensor, nn

from cyclotrain.contract import Contract, Layout, mask_group, vectors_group
from cyclotrain.contract.metadata import METADATA_PREFIX, metadata_text
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic, write_json
from cyclotrain.export.cmssw_preprocess import NetworkAlone, preprocess_json
from cyclotrain.export.trained import TrainedModel, provenance
from cyclotrain.export.weaver_interface import CONSTITUENTS, WeaverNetwork, weaver_json
from cyclotrain.networks.registry import Model, Outputs
from cyclotrain.runtimes.targets import OLDEST_EXPORTED, runtime_of, settings_for

_log = logging.getLogger(__name__)


def export(trained: TrainedModel, *, targets: Sequence[str], path: str | Path) -> None:
    """Write model.onnx with one float32 input for each branch: scalars [batch, 1], jagged ones [batch, <set>], all axes dynamic.

    The contract and the provenance are in `metadata_props`. Nothing in the file depends on time or place, so the same commit,
    data and CPU give the same bytes.
    """
    start = time.monotonic()
    proto = model_to_onnx(trained.load(), trained.contract, targets)
    metadata = {"contract": trained.contract.to_dict(), **provenance(trained), "targets": list(targets)}
    write_onnx(proto, metadata, path, start=start)


def export_network(trained: TrainedModel, *, targets: Sequence[str], path: str | Path, preprocess: str | Path) -> None:
    """Write the network without its features to `path`, and to `preprocess` the preprocess.json by which CMSSW's
    ParticleNetConstructor prepares its inputs.

    The inputs are groups [batch, variables, length]; see the module `cmssw_preprocess`.
    """
    start = time.monotonic()
    settings = preprocess_json(trained.contract)
    proto = network_to_onnx(trained.load(), trained.contract, targets)
    write_onnx(proto, {"preprocess": settings, **provenance(trained), "targets": list(targets)}, path, start=start)
    write_json(preprocess, settings)


def export_for_weaver_interface(
    trained: TrainedModel, *, targets: Sequence[str], path: str | Path, preprocess: str | Path
) -> None:
    """Write the network without its features to `path`, and to `preprocess` the JSON by which the `WeaverInterface` of
    FCCAnalyses and k4MLJetTagger prepares its inputs; see the module `weaver_interface`.
    """
    start = time.monotonic()
    settings = weaver_json(trained.contract)
    proto = weaver_network_to_onnx(trained.load(), trained.contract, targets)
    write_onnx(proto, {"preprocess": settings, **provenance(trained), "targets": list(targets)}, path, start=start)
    write_json(preprocess, settings)


def model_to_onnx(model: Model, contract: Contract, targets: Sequence[str]) -> onnx.ModelProto:
    """A model in evaluation mode as ONNX for the targets, from branches to its outputs.

    Raises InputError, which names the target, for operators that cannot be converted to its opset.
    """
    ir_version, opset = settings_for(targets)
    with _named(targets, opset):
        module, outputs = Outputs(model).eval(), _names(contract)
        return branches_to_onnx(module, contract.layout, outputs=outputs, opset=opset, ir_version=ir_version)


def network_to_onnx(model: Model, contract: Contract, targets: Sequence[str]) -> onnx.ModelProto:
    """The network of a model without its features, as ONNX for the targets; raises InputError as `model_to_onnx`."""
    ir_version, opset = settings_for(targets)
    inputs, axes, layout = {}, {}, contract.layout
    for name, features in layout.sets.items():
        if features.is_jagged:
            inputs[name], inputs[mask_group(name)] = _example(len(features.features), 7), _example(1, 7)
            axes[name] = axes[mask_group(name)] = {0: "batch", 2: name}
            if features.four_vector:
                inputs[vectors_group(name)], axes[vectors_group(name)] = _example(4, 7), axes[name]
        else:
            inputs[name] = _example(len(features.features), 1)
            axes[name] = {0: "batch"}
    with _named(targets, opset):
        network, outputs = NetworkAlone(model, layout).eval(), _names(contract)
        return _to_onnx(network, inputs, axes, outputs=outputs, opset=opset, ir_version=ir_version)


def weaver_network_to_onnx(model: Model, contract: Contract, targets: Sequence[str]) -> onnx.ModelProto:
    """The network for `WeaverInterface`, as ONNX for the targets; raises InputError as `model_to_onnx`."""
    ir_version, opset = settings_for(targets)
    settings = weaver_json(contract)
    inputs = {group: _example(len(settings[group]["var_names"]), 7) for group in settings["input_names"]}
    axes = {group: {0: "batch", 2: CONSTITUENTS} for group in inputs}
    outputs = _names(contract) if len(contract.outputs) == 1 else ["outputs"]
    with _named(targets, opset):
        network = WeaverNetwork(model, contract.layout).eval()
        return _to_onnx(network, inputs, axes, outputs=outputs, opset=opset, ir_version=ir_version)


def branches_to_onnx(
    module: nn.Module, layout: Layout, *, outputs: Sequence[str], opset: int, ir_version: int
) -> onnx.ModelProto:
    """A module that turns branches into `outputs`, as ONNX."""
    inputs, axes = {}, {}
    for branch, name in layout.inputs.items():
        # longer than max_length, so that the cut is part of the graph
        inputs[branch] = _example(1 if name is None else (layout.sets[name].max_length or 1) + 3)
        axes[branch] = {0: "batch"} if name is None else {0: "batch", 1: name}
    return _to_onnx(module, inputs, axes, outputs=outputs, opset=opset, ir_version=ir_version)


def _names(contract: Contract) -> list[str]:
    return [output.name for output in contract.outputs]


def _example(*shape: int) -> Tensor:
    # five examples: no other axis has this size, so the exporter ties no two axes
    return torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)) + 0.5


def _to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, str]],
    *,
    outputs: Sequence[str],
    opset: int,
    ir_version: int,
) -> onnx.ModelProto:
    """A module with named tensors as inputs and `outputs`; `axes`: the names of the dynamic axes of each input."""
    dims = {name: torch.export.Dim(name) for named in axes.values() for name in named.values()}
    shapes = {name: {axis: dims[dim] for axis, dim in named.items()} for name, named in axes.items()}
    # it says four times that torchvision is not installed
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # the exporter warns of its own deprecations, and of axes that share a name, as ours do on purpose
        warnings.simplefilter("ignore")
        # the exporter takes a last dictionary for keyword arguments, hence the empty one
        program = torch.onnx.export(
            module, (inputs, {}), output_names=list(outputs),
            dynamic_shapes=(shapes,), opset_version=max(opset, OLDEST_EXPORTED), dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    _name_inputs(program.model.graph, list(inputs))
    proto = _converted(program.model_proto, opset)
    proto.ir_version = ir_version
    _strip(proto)
    return proto


def _name_inputs(graph: onnx_ir.Graph, names: Sequence[str]) -> None:
    """Name the inputs. Other values that have such a name, as `log` or `cat` may be, get another: names in a graph are unique."""
    inside = [*graph.initializers.values(), *(value for node in graph.all_nodes() for value in node.outputs)]
    taken = {*names, *(value.name for value in inside)}
    for value in inside:
        if value.name in names:
            value.name = next(name for number in itertools.count() if (name := f"{value.name}.{number}") not in taken)
            taken.add(value.name)
    for value, name in zip(graph.inputs, names, strict=True):
        value.name = name


def write_onnx(proto: onnx.ModelProto, metadata: Mapping[str, Any], path: str | Path, *, start: float) -> None:
    """Check and write a model with additional `metadata`; log it with the time since `start`, a value of `time.monotonic`."""
    for key, value in metadata.items():
        proto.metadata_props.add(key=METADATA_PREFIX + key, value=metadata_text(value))
    onnx.checker.check_model(proto, full_check=True)
    with atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
    opset, size = proto.opset_import[0].version, Path(path).stat().st_size
    _log.info(
        "%s: opset %d, IR version %d, %s bytes, made in %.1f s",
        Path(path).name, opset, proto.ir_version, f"{size:,}", time.monotonic() - start,
    )  # fmt: skip


class _ConversionError(ValueError):
    """The model has operators that the older opset lacks; the message names them."""


def _converted(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model converted to `opset`, which is its own or an older one."""
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
    """Turn a failed conversion into an InputError that names the targets that need it."""
    try:
        yield
    except _ConversionError as error:
        oldest = [target for target in targets if runtime_of(target).opset == opset]
        raise InputError(
            f"export.targets: {', '.join(oldest)} loads opset {opset} at most, and the network has operators that cannot be "
            f"converted to it; remove the target, or change the network: {error}"
        ) from error


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes: they hold stack traces with paths of this machine."""
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
