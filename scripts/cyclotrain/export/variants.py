"""Optional faster or smaller forms of the exported model. None gives the same numbers, so each has its own gates."""

import copy
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime import quantization
from torch import Tensor, nn

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.core.files import file_sha256
from cyclotrain.data.batches import Batches, Shuffle
from cyclotrain.data.shards import iterate_split
from cyclotrain.export.to_onnx import branches_to_onnx, write_onnx
from cyclotrain.export.trained import TrainedModel
from cyclotrain.networks.registry import Model, run_network

_QUANTISED = ["MatMul", "Gemm"]  # only the network has them; the features stay in float32
_CALIBRATION, _BATCH = 16, 64  # number of batches from the training split, and examples in each


def make_variant(
    kind: config.VariantKind, trained: TrainedModel, *, exported: str | Path, shards: Sequence[str], path: str | Path
) -> None:
    """Write a variant of `exported`, with the same inputs, output, opset, IR version and metadata.

    fp16: the network in half precision, for GPUs; a CPU computes it in float32. int8_dynamic: matrix products of 8-bit
    integers, with scales from each batch. int8_static: the same, with scales from the training split.
    """
    start = time.monotonic()
    original = onnx.load(exported)
    match kind:
        case "fp16":
            opset, ir_version = original.opset_import[0].version, original.ir_version
            variant = branches_to_onnx(
                _Half(trained.load()).eval(),
                trained.contract.layout,
                outputs=[output.name for output in original.graph.output],
                opset=opset,
                ir_version=ir_version,
            )
        case "int8_dynamic" | "int8_static":
            variant = _quantised(original, trained.contract, shards if kind == "int8_static" else None)
    variant.ir_version = original.ir_version
    del variant.metadata_props[:]
    variant.metadata_props.extend(original.metadata_props)
    write_onnx(variant, {"variant": kind, "variant_of": file_sha256(exported)}, path, start=start)


class _Half(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.features, self.network, self.outputs = model.features, copy.deepcopy(model.network).half(), model.outputs

    def forward(self, branches: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        inputs = self.features(branches)
        raw = run_network(self.network, inputs._replace(features={name: x.half() for name, x in inputs.features.items()}))
        answer: tuple[Tensor, ...] = self.outputs(raw.float())
        return answer


class _Calibration(quantization.CalibrationDataReader):
    """Batches of the training split, spread over its shards."""

    def __init__(self, contract: Contract, shards: Sequence[str]) -> None:
        self._batches = self._read(contract, shards)

    def _read(self, contract: Contract, shards: Sequence[str]) -> Iterator[dict[str, npt.NDArray[np.float32]]]:
        per_shard = -(-_CALIBRATION // len(shards))
        for shard in shards:
            parts = iterate_split([shard], contract.layout, "train", normalisation=contract.normalisation, fold=contract.fold)
            batches = Batches(next(parts), contract.layout, _BATCH, shuffle=Shuffle(0))
            for _, batch in zip(range(per_shard), batches, strict=False):
                yield {branch: np.ascontiguousarray(values.numpy()) for branch, values in batch.branches.items()}

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        return next(self._batches, None)


def _quantised(original: onnx.ModelProto, contract: Contract, calibrated_on: Sequence[str] | None) -> onnx.ModelProto:
    source = onnx.ModelProto()
    source.CopyFrom(original)
    source.graph.ClearField("value_info")  # the old shapes, which contradict the quantiser's changes
    logging.getLogger().addFilter(_is_not_advice)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quantised.onnx"
            if calibrated_on is None:
                quantization.quantize_dynamic(
                    source, path, op_types_to_quantize=_QUANTISED, weight_type=quantization.QuantType.QInt8
                )
            else:
                quantization.quantize_static(
                    source, path, _Calibration(contract, calibrated_on), op_types_to_quantize=_QUANTISED,
                    activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8,
                    quant_format=quantization.QuantFormat.QDQ, per_channel=True,
                )  # fmt: skip
            return onnx.load(path)
    finally:
        logging.getLogger().removeFilter(_is_not_advice)


def _is_not_advice(record: logging.LogRecord) -> bool:
    """The quantiser advises its pre-processing, which is for convolutions."""
    return not record.getMessage().startswith("Please consider")
