"""The trained model compiled by AOTInductor: a library for one instruction set, which LibTorch loads."""

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch._inductor import aoti_compile_and_package
from torch._inductor.exc import InductorError
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_shapes

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import METADATA_PREFIX, metadata_text
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import atomic
from cyclotrain.export.by_position import ByPosition, example
from cyclotrain.export.trained import TrainedModel, provenance
from cyclotrain.networks.registry import Outputs
from cyclotrain.runtimes.environments import compiler
from cyclotrain.runtimes.instruction_sets import Level
from cyclotrain.runtimes.targets import AOT_INDUCTOR_SINCE

_BITS: dict[Level, int] = {"x86-64-v2": 128, "x86-64-v3": 256}  # of a vector
# Products of matrices by Inductor, with weights in the order in which it reads them: for few constituents they are faster than
# those of PyTorch's library. It has none below AVX2. With an epilogue fused to them, the transformer does not compile.
_OWN_PRODUCTS = {
    "max_autotune": True,
    "max_autotune_gemm_backends": "CPP",
    "epilogue_fusion": False,
    "autotune_num_choices_displayed": 0,
}
# For networks with a product that Inductor does not have, such as particle_transformer: each by what is faster when it compiles.
_FASTEST_PRODUCTS = {**_OWN_PRODUCTS, "max_autotune_gemm_backends": "ATEN,CPP"}
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
_log = logging.getLogger(__name__)


def export_aot_inductor(trained: TrainedModel, level: Level, path: str | Path) -> None:
    """Write a package (.pt2) for the processors of a level: branches by position as model.pt takes them, on one thread.

    The metadata is that of model.pt, with the level and the oldest LibTorch that loads the package. Its bytes and the debugging
    information in it depend on the machine. Raises InputError without a C++ compiler, and for a network that cannot be compiled.
    """
    start = time.monotonic()
    require_compiler()
    contract = trained.contract
    metadata = {
        "contract": contract.to_dict(),
        **provenance(trained),
        "instruction_set": level,
        "torch_minimum": AOT_INDUCTOR_SINCE,
    }
    texts = {METADATA_PREFIX + key: metadata_text(value) for key, value in metadata.items()}
    try:
        compile_program(model_to_program(Outputs(trained.load()).eval(), contract), level, texts, path)
    except Exception as error:  # the compiler raises many
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"export.consumers: 'aot_inductor' cannot compile the network '{trained.model.name}': {type(error).__name__}: "
            f"{reason}; change the network, or remove 'aot_inductor'"
        ) from error
    size = Path(path).stat().st_size
    _log.info("%s: torch %s, %s bytes, made in %.1f s", Path(path).name, torch.__version__, f"{size:,}", time.monotonic() - start)


def compile_program(program: ExportedProgram, level: Level, metadata: Mapping[str, str], path: str | Path) -> None:
    """Write the package of a graph."""
    settings = {
        "cpp.threads": 1,
        "cpp.march": level,
        "cpp.simdlen": _BITS[level],
        "aot_inductor.metadata": dict(metadata),
    }
    with atomic(path) as temporary, _every_length(), _own_cache():
        package = temporary.with_suffix(".pt2")  # the compiler takes no other name

        def compile_with(products: Mapping[str, Any]) -> None:
            aoti_compile_and_package(program, package_path=str(package), inductor_configs={**settings, **products})

        try:
            compile_with({} if level == "x86-64-v2" else _OWN_PRODUCTS)
        except InductorError as error:
            if "NoValidChoicesError" not in str(error):
                raise
            compile_with(_FASTEST_PRODUCTS)
        package.rename(temporary)


def model_to_program(outputs: Outputs, contract: Contract) -> ExportedProgram:
    """A model in evaluation mode as a graph for every number of examples and constituents, from branches by position."""
    names = contract.layout.inputs.values()
    dims = {name: Dim(f"d{index}", min=1) for index, name in enumerate(dict.fromkeys(names)) if name}
    batch = Dim("batch", min=1)
    shapes = tuple({0: batch, 1: dims[name]} if name else {0: batch} for name in names)
    with torch.no_grad(), _every_length():
        program = torch.export.export(
            ByPosition(outputs, contract.layout).eval(), example(contract.layout), dynamic_shapes=(shapes,), strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )  # fmt: skip
    for node in list(program.graph.nodes):
        # the exporter assumes that the length is not 1, where both cases are the same
        if node.target is torch.ops.aten._assert_scalar.default and "Ne(" in str(node.args[1]):
            program.graph.erase_node(node)
    program.graph_module.recompile()
    return program


def require_compiler() -> None:
    """Raise InputError if this machine has no C++ compiler."""
    try:
        compiler()
    except FileNotFoundError as error:
        raise InputError(f"export.consumers: 'aot_inductor' compiles the model, but {error}") from error


@contextmanager
def _every_length() -> Iterator[None]:
    """Make a graph for any length, neither for the example's alone nor without those of 1.

    Without this also in the compilation, the library has a fixed length inside, and gives wrong answers for others without an
    error (PyTorch's issue 150364).
    """
    with warnings.catch_warnings(), symbolic_shapes.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        warnings.simplefilter("ignore")  # PyTorch's of its own deprecations
        yield


@contextmanager
def _own_cache() -> Iterator[None]:
    """A folder for what the compiler writes, instead of one that all runs of a user share."""
    before = {name: os.environ[name] for name in (_CACHE,) if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="cyclotrain-") as folder:
        os.environ[_CACHE] = folder
        try:
            yield
        finally:
            del os.environ[_CACHE]
            os.environ.update(before)
