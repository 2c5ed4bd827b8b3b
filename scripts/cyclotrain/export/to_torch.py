"""The trained model as TorchScript, for LibTorch and for CMSSW's `cms::torch::Model`, which take inputs by position."""

import io
import logging
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import METADATA_PREFIX, metadata_text
from cyclotrain.core.files import atomic
from cyclotrain.export.by_position import ByPosition, example
from cyclotrain.export.trained import TrainedModel, provenance
from cyclotrain.networks.registry import Outputs

_VERSIONS = (".data/version", "version")  # a newer archive has the first
_BY_THE_WRITER = (*_VERSIONS, ".data/serialization_id")
_log = logging.getLogger(__name__)


def export_torchscript(trained: TrainedModel, path: str | Path) -> None:
    """Write model.pt: the branches in the order of the contract, float32, scalars [batch, 1], jagged ones [batch, <set>].

    It answers with a tensor, or with a tuple of tensors if the contract has several outputs. The metadata of model.onnx but for
    its targets is in extra files of the archive, by the same names. Nothing in the file depends on time or place, if the process
    has traced no other model before.
    """
    start = time.monotonic()
    metadata = {"contract": trained.contract.to_dict(), **provenance(trained)}
    traced = model_to_torchscript(Outputs(trained.load()), trained.contract)
    with atomic(path) as temporary:
        temporary.write_bytes(archive(traced, metadata))
    size = Path(path).stat().st_size
    _log.info("%s: torch %s, %s bytes, made in %.1f s", Path(path).name, torch.__version__, f"{size:,}", time.monotonic() - start)


def model_to_torchscript(outputs: Outputs, contract: Contract) -> torch.jit.ScriptModule:
    """A model in evaluation mode as a trace, from branches by position to its outputs.

    A trace keeps the path that Python code took for one example, so its answers have to be compared with the model's.
    """
    module = ByPosition(outputs, contract.layout).eval()
    with torch.no_grad(), warnings.catch_warnings():
        # of the deprecation of TorchScript, and of Python code that depends on shapes
        warnings.simplefilter("ignore")
        traced: torch.jit.ScriptModule = torch.jit.trace(module, example(contract.layout), check_trace=False)
    return traced


def archive(traced: torch.jit.ScriptModule, metadata: Mapping[str, Any]) -> bytes:
    """The archive of a trace, without source files' paths and the example of the trace."""
    raw, stripped = io.BytesIO(), io.BytesIO()
    torch.jit.save(traced, raw, _extra_files={METADATA_PREFIX + key: metadata_text(value) for key, value in metadata.items()})
    raw.seek(0)
    reader, writer = torch._C.PyTorchFileReader(raw), torch._C.PyTorchFileWriter(stripped)
    # else the writer takes the oldest one, and a loader gives operators their old meaning: it would cut a quotient of integers
    records = reader.get_all_records()
    (version,) = (record for record in records if record in _VERSIONS)
    writer.set_min_version(int(reader.get_record(version)))
    for record in records:
        has_paths, is_example = record.endswith(".debug_pkl"), record.startswith("traced_inputs")
        if not (has_paths or is_example or record in _BY_THE_WRITER):
            content = reader.get_record(record)
            writer.write_record(record, content, len(content))
    writer.write_end_of_file()
    return stripped.getvalue()
