"""A trial of a network before it is trained: batches with full and empty sets, a step, the export, and ONNX Runtime.

It takes seconds, and finds what would else be found after hours of training.
"""

import inspect
import linecache
import logging
import re
import textwrap
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy

from cyclotrain import config
from cyclotrain.contract import Contract, Layout
from cyclotrain.core.errors import InputError
from cyclotrain.data.batches import Batch, Batches
from cyclotrain.data.shards import iterate_split
from cyclotrain.export.to_aot_inductor import model_to_program, require_compiler
from cyclotrain.export.to_onnx import model_to_onnx, network_to_onnx, weaver_network_to_onnx
from cyclotrain.export.to_torch import model_to_torchscript
from cyclotrain.metrics.distance import distance
from cyclotrain.networks.features import filled_up
from cyclotrain.networks.registry import Model, Outputs, network_class
from cyclotrain.runtimes.worker import side_by_side

_EXAMPLES = 64
_SMALL = 1e-3
_LONGEST_REASON = 300  # characters; PyTorch's go over pages
_ADVICE = (
    "for an empty set all of its mask is false: take a finite value instead of -inf before a maximum, and divide by at least 1"
)
_OPERATION = re.compile(r"op='([\w.]+)'")
_log = logging.getLogger(__name__)


def try_network(
    contract: Contract, shards: Sequence[str], *, model: config.ModelConfig, export: config.ExportConfig, tolerance: float
) -> None:
    """Raise InputError, in the terms of the network and with its line, if a network could not be used after its training.

    `tolerance`: that of the parity gate. A difference between answers that is also below _SMALL is left to the gate.
    """
    start, tolerance = time.monotonic(), max(tolerance, _SMALL)
    torch.manual_seed(contract.seed)
    network = _Network(model.name)
    with network.told("fails"):
        untrained = Model(contract, model.name, model.options)
    network.require_sizes(untrained)
    cases = dict(_cases(_real_batch(contract, shards), contract.layout))
    for case, batch in cases.items():
        network.try_step(untrained, batch, case, contract)
    untrained.eval().zero_grad()
    with network.told("cannot be exported to ONNX"):
        exported = model_to_onnx(untrained, contract, export.targets)
        if export.preprocess_json:
            network_to_onnx(untrained, contract, export.targets)
        if "fccanalyses" in export.takers:
            weaver_network_to_onnx(untrained, contract, export.targets)
    network.require_dynamic(exported, contract.layout)
    answers = _Answers(untrained, contract)
    network.compare(exported, answers, cases, tolerance)
    if "torchscript" in export.forms:
        with network.told("cannot be traced for TorchScript"):
            traced = model_to_torchscript(Outputs(untrained).eval(), contract)
        network.compare_by_position(traced, "as TorchScript", answers, cases=cases, tolerance=tolerance)
    if "aot_inductor" in export.forms:
        require_compiler()
        with network.told("cannot be exported for AOTInductor"):
            program = model_to_program(Outputs(untrained).eval(), contract)
        network.compare_by_position(program.module(), "after its export", answers, cases=cases, tolerance=tolerance)
    network.require_no_effect_of_padding(answers, cases, contract.layout, tolerance)
    if "fccanalyses" in export.takers:
        network.require_no_effect_of_gaps(answers, cases, contract.layout, tolerance)
    _log.info("tried the network on %d batches, its export and ONNX Runtime in %.1f s", len(cases), time.monotonic() - start)


def _real_batch(contract: Contract, shards: Sequence[str]) -> Batch:
    """Some examples of the training split."""
    parts = iterate_split(shards, contract.layout, "train", normalisation=contract.normalisation, fold=contract.fold)
    examples = next(part for part in parts if len(part))
    return Batches(examples, contract.layout, _EXAMPLES).gather(torch.arange(min(_EXAMPLES, len(examples))))


def _cases(batch: Batch, layout: Layout) -> Iterator[tuple[str, Batch]]:
    """The batch with full sets, with one constituent in each, with each set empty, and as it is."""

    def changed(name: str, values: Mapping[str, Tensor]) -> tuple[str, Batch]:
        return name, batch._replace(branches={**batch.branches, **values})

    jagged = {name: features for name, features in layout.sets.items() if features.max_length}
    n, full = len(batch.label), dict[str, Tensor]()
    for features in jagged.values():
        by_branch = torch.stack([batch.branches[branch] for branch in features.branches])
        lengths = (by_branch != 0).any(0).sum(1)
        longest = by_branch[:, lengths.argmax(), torch.arange(features.max_length or 1) % max(int(lengths.max()), 1)]
        full |= {branch: value.expand(n, -1) for branch, value in zip(features.branches, longest, strict=True)}
    if full:
        yield changed("for sets of full length", full)
        yield changed("for sets of one constituent", {branch: value[:, :1] for branch, value in full.items()})
    for name, features in jagged.items():
        yield changed(f"where set '{name}' is empty", {b: torch.zeros_like(batch.branches[b]) for b in features.branches})
    yield "for training examples", batch


class _Answers:
    """PyTorch's answers of a model under trial, all outputs side by side, and the distance of others from them."""

    def __init__(self, untrained: Model, contract: Contract) -> None:
        self._outputs, self._scales = Outputs(untrained).eval(), contract.scales
        self.order = list(contract.layout.inputs)

    def __call__(self, branches: Mapping[str, Tensor]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            answer: npt.NDArray[np.float32] = torch.cat(self._outputs(branches), dim=1).numpy()
        return answer

    def distance(self, answer: npt.NDArray[np.float32], branches: Mapping[str, Tensor]) -> float:
        """The largest distance of `answer` from PyTorch's."""
        return float(distance(answer, self(branches), self._scales).max())


class _Network:
    """A network under trial, for errors that name it and its line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._file = inspect.getfile(network_class(name))

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Tell an exception as one of the network: the line, and PyTorch's reason without its advice."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # a network may raise anything
            raise self._error(f"{what}{self._place(error)}: {_reason(error)}") from error

    def require_sizes(self, untrained: Model) -> None:
        """Raise InputError for a lazy layer, which has no weights before its first batch."""
        for name, module in untrained.network.named_modules():
            if any(map(is_lazy, module.parameters(recurse=False))):
                raise self._error(
                    f"has a lazy layer, '{name}' ({type(module).__name__}); give it its number of inputs, such as "
                    "sets['...'].n_features"
                )

    def try_step(self, untrained: Model, batch: Batch, case: str, contract: Contract) -> None:
        """A step of the training without the change of the weights, and an evaluation."""
        n_classes = len(contract.classes)
        for is_training in (True, False):
            untrained.train(is_training).zero_grad()
            with self.told(f"fails {case}"):
                raw = untrained(batch.branches)
            self._check_output(raw, batch, case, contract)
            if is_training:
                with self.told(f"fails in the backward pass {case}"):
                    loss = (raw[:, n_classes:] ** 2).sum()
                    if n_classes:
                        loss = loss + functional.cross_entropy(raw[:, :n_classes], batch.label)
                    loss.backward()
                self._check_gradients(untrained.network, case)

    def _check_output(self, raw: object, batch: Batch, case: str, contract: Contract) -> None:
        n, n_outputs = len(batch.label), len(contract.columns)
        if not isinstance(raw, Tensor) or raw.shape != (n, n_outputs):
            shape = list(raw.shape) if isinstance(raw, Tensor) else type(raw).__name__
            quantities = contract.columns[len(contract.classes) :]
            needed = ["one logit per class; for two classes, two"] * bool(contract.classes)
            needed += [f"one number for each of {', '.join(quantities)}"] * bool(quantities)
            raise self._error(f"gives {shape} for {n} examples, and must give [{n}, {n_outputs}]: {', then '.join(needed)}")
        if not torch.isfinite(raw).all():
            raise self._error(f"gives NaN or infinity {case}; {_ADVICE}")

    def _check_gradients(self, network: nn.Module, case: str) -> None:
        gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
        if not gradients:
            raise self._error("has no weight that the loss depends on, so it cannot be trained")
        for name, gradient in gradients.items():
            if not torch.isfinite(gradient).all():
                raise self._error(f"has a gradient that is NaN or infinite {case}, at the weight '{name}'; {_ADVICE}")

    def require_dynamic(self, exported: onnx.ModelProto, layout: Layout) -> None:
        """Raise InputError if the exported graph takes only one number of examples or constituents."""
        for value in exported.graph.input:
            axes = ["examples", *(["constituents"] if layout.inputs[value.name] else [])]
            for what, dim in zip(axes, value.type.tensor_type.shape.dim, strict=False):
                if not dim.dim_param:
                    raise self._error(
                        f"is exported for {dim.dim_value} {what} only ('{value.name}'); Python code depends on their "
                        "number, such as a loop; write tensor operations"
                    )

    def compare(self, exported: onnx.ModelProto, answers: _Answers, cases: Mapping[str, Batch], tolerance: float) -> None:
        """Raise InputError if ONNX Runtime does not give PyTorch's answers, for all examples of a case and for one alone."""
        with self.told("cannot run in ONNX Runtime"):
            session = ort.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
        for case, batch in cases.items():
            for n in (len(batch.label), 1):
                branches = {branch: value[:n] for branch, value in batch.branches.items()}
                with self.told(f"cannot run in ONNX Runtime {case}, where Python code may depend on the length"):
                    answer = side_by_side(session.run(None, {branch: value.numpy() for branch, value in branches.items()}))
                difference = answers.distance(answer, branches)
                if not difference <= tolerance:
                    raise self._error(
                        f"gives other answers after the export, by {difference:.2g} {case}; random numbers and Python code on "
                        "the values or the shape of a tensor do not survive it"
                    )

    def compare_by_position(
        self, model: nn.Module, how: str, answers: _Answers, *, cases: Mapping[str, Batch], tolerance: float
    ) -> None:
        """Raise InputError if a form of the model that takes branches by position fails, or does not give PyTorch's answers."""
        for case, batch in cases.items():
            for n in (len(batch.label), 1):
                branches = {branch: value[:n] for branch, value in batch.branches.items()}
                with self.told(f"cannot run {how} {case}"), torch.inference_mode():
                    answer = model(*(branches[branch] for branch in answers.order))
                outputs = answer if isinstance(answer, tuple) else (answer,)
                difference = answers.distance(torch.cat(outputs, dim=1).numpy(), branches)
                if not difference <= tolerance:
                    raise self._error(
                        f"gives other answers {how}, by {difference:.2g} {case}; it keeps what Python code makes "
                        "of one batch, such as len(x): write tensor operations"
                    )

    def require_no_effect_of_padding(
        self, answers: _Answers, cases: Mapping[str, Batch], layout: Layout, tolerance: float
    ) -> None:
        """Raise InputError if an answer depends on how long the other examples of its batch are."""
        for case, batch in cases.items():
            lengths = {branch: layout.sets[name].max_length or 1 for branch, name in layout.inputs.items() if name}
            padded = {
                branch: filled_up(value, lengths[branch]) if branch in lengths else value
                for branch, value in batch.branches.items()
            }
            difference = answers.distance(answers(padded), batch.branches)
            if not difference <= tolerance:
                raise self._error(
                    f"gives other answers, by {difference:.2g}, {case} if zeros are added to its sets; use the masks, as in "
                    "torch.where(mask, x, 0).sum(1) / mask.sum(1).clamp(min=1)"
                )

    def require_no_effect_of_gaps(self, answers: _Answers, cases: Mapping[str, Batch], layout: Layout, tolerance: float) -> None:
        """Raise InputError if a constituent that is not valid has another effect among the others than behind them.

        FCCAnalyses does not hand it over, so that those behind it move up.
        """
        for case, batch in cases.items():
            before, behind = dict(batch.branches), dict(batch.branches)
            for branch, name in layout.inputs.items():
                if name:
                    kept = batch.branches[branch][:, : (layout.sets[name].max_length or 1) - 1]
                    before[branch] = functional.pad(kept, (1, 0))
                    behind[branch] = functional.pad(kept, (0, 1))
            difference = answers.distance(answers(before), behind)
            if not difference <= tolerance:
                raise self._error(
                    f"gives other answers, by {difference:.2g}, {case} if a constituent that is not `valid` is left out, as "
                    "FCCAnalyses does; use masks instead of positions, or remove 'fccanalyses' from export.consumers"
                )

    def _error(self, text: str) -> InputError:
        return InputError(f"model.name: the network '{self._name}' {text}")

    def _place(self, error: BaseException) -> str:
        """The line of the network's file in which an exception began, or of its `forward` that was translated to ONNX."""
        for cause in reversed(list(_chain(error))):
            lines = [frame.lineno for frame in traceback.extract_tb(cause.__traceback__) if frame.filename == self._file]
            lines = lines or [int(line) for file, line in _translated(cause.__traceback__) if file == self._file]
            if lines and (line := lines[-1]):
                return f" in line {line} of {self._file}, `{linecache.getline(self._file, line).strip()}`"
        return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _translated(trace: TracebackType | None) -> Iterator[tuple[str, str]]:
    """File and line of the operations that the frames of a traceback were translating."""
    while trace:
        node = trace.tb_frame.f_locals.get("node")
        if isinstance(node, fx.Node):
            yield from re.findall(r'File "([^"]+)", line (\d+)', node.stack_trace or "")
        trace = trace.tb_next


def _reason(error: BaseException) -> str:
    root = list(_chain(error))[-1]
    if operation := _OPERATION.search(str(root)):
        return f"ONNX has no operation {operation[1]}; write it with others"
    if "data-dependent" in str(root):
        return "Python decides here on the values of a tensor; write torch.where"
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    return f"{type(root).__name__}: {textwrap.shorten(' '.join(lines), _LONGEST_REASON)}"
