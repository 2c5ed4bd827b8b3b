"""Reference vectors: real test examples and the answers that each consumer of the model must give."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
import uproot

from cyclotrain.contract import Contract
from cyclotrain.core.files import atomic_folder, file_sha256, write_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import Examples, read_split
from cyclotrain.deploy.names import free
from cyclotrain.deploy.tolerance import tolerance
from cyclotrain.runtimes.sessions import open_session, run

TREE = "reference"
_log = logging.getLogger(__name__)
_EXAMPLES = 300


class _Example(NamedTuple):
    """The unpadded values by branch, the answer [n_columns] and the index of the class."""

    inputs: dict[str, npt.NDArray[np.float32]]
    answer: npt.NDArray[np.float32]
    label: int

    def outputs(self, contract: Contract) -> dict[str, npt.NDArray[np.float32]]:
        """The answer by output."""
        ends = np.cumsum([len(output.columns) for output in contract.outputs])[:-1]
        return {output.name: part for output, part in zip(contract.outputs, np.split(self.answer, ends), strict=True)}


def write_reference(contract: Contract, exported: str | Path, *, shards: Sequence[str | Path], folder: str | Path) -> None:
    """Write reference.json, .root (tree `reference`) and .txt (for C++ without a library) into `folder`, all or none.

    The examples are spread over the whole test split and include those with the fewest and the most constituents of each set.
    Examples with NaN or infinity in a branch are left out, because JSON has neither. The answers come from the ONNX Runtime of
    this environment, one example at a time.
    """
    test = read_split(shards, contract, "test")
    batches = Batches(test, contract.layout, 1)
    model = open_session(exported, threads=1)
    examples = []
    for row in _rows(test):
        branches = batches.gather(torch.tensor([row])).branches
        answer = run(model, branches)[0]
        counts = {name: int(offsets[row + 1] - offsets[row]) for name, (_, offsets) in test.sets.items()}
        inputs = {
            branch: branches[branch][0, : 1 if name is None else counts[name]].numpy()
            for branch, name in contract.layout.inputs.items()
        }
        if all(np.isfinite(values).all() for values in inputs.values()):
            examples.append(_Example(inputs, answer, int(test.label[row])))
    with atomic_folder(folder) as part:
        _write_json(contract, examples, file_sha256(exported), part / "reference.json")
        _write_text(contract, examples, part / "reference.txt")
        _write_root(contract, examples, part / "reference.root")
    _log.info("%d examples of the test split, as JSON, ROOT and text", len(examples))


def _rows(test: Examples) -> list[int]:
    """The rows of the examples in the test split."""
    spread = np.linspace(0, len(test) - 1, min(_EXAMPLES, len(test))).astype(int)
    extremes = [(np.diff(offsets).argmin(), np.diff(offsets).argmax()) for _, offsets in test.sets.values()]
    return sorted({int(row) for row in [*spread, *(row for pair in extremes for row in pair)]})


def _write_json(contract: Contract, examples: Sequence[_Example], sha256: str, path: Path) -> None:
    reference: dict[str, Any] = {
        "model_sha256": sha256,
        "runtime": f"onnxruntime {ort.__version__}, CPU, one example at a time",
        "classes": contract.classes,
        **({"scales": {quantity.name: quantity.scale for quantity in contract.regression}} if contract.regression else {}),
        "tolerance": tolerance(contract),
        "examples": [
            {
                # as doubles, which hold every float32 exactly
                "inputs": {branch: values.astype(float).tolist() for branch, values in example.inputs.items()},
                **_outputs(contract, example),
                **({"label": contract.classes[example.label]} if contract.classes else {}),
            }
            for example in examples
        ],
    }
    write_json(path, reference)


def _outputs(contract: Contract, example: _Example) -> dict[str, Any]:
    """The answers in reference.json: `probabilities`, or with regressed quantities `outputs` by name."""
    outputs = {name: values.astype(float).tolist() for name, values in example.outputs(contract).items()}
    return {"outputs": outputs} if contract.regression else outputs


def _write_text(contract: Contract, examples: Sequence[_Example], path: Path) -> None:
    def words(values: npt.NDArray[np.float32]) -> str:
        return " ".join([str(len(values)), *(f"{value:.9g}" for value in values)])  # 9 digits are exact for float32

    # of each column; a consumer of probabilities alone needs none
    scales = np.array([1.0] * len(contract.classes) + list(contract.scales), np.float32)
    lines = [f"scale {words(scales)}"] * bool(contract.regression)
    for example in examples:
        inputs = [f"input {_word(branch)} {words(values)}" for branch, values in example.inputs.items()]
        lines += ["example", *inputs, f"output {words(example.answer)}"]
    path.write_text("\n".join(lines) + "\n")


def _word(branch: str) -> str:
    """As std::quoted of C++ reads it: without quotation marks where it needs none."""
    if not re.search(r'[\s"]', branch):
        return branch
    return '"' + branch.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_root(contract: Contract, examples: Sequence[_Example], path: Path) -> None:
    columns = {}
    for branch, name in contract.layout.inputs.items():
        arrays = [example.inputs[branch] for example in examples]
        if name is None:
            columns[branch] = ak.Array(np.concatenate(arrays))
        else:
            columns[branch] = ak.unflatten(np.concatenate(arrays), [len(array) for array in arrays])
    # the branches keep their names, also one that is called `label`
    outputs = [example.outputs(contract) for example in examples]
    for output in contract.outputs:
        columns[free(output.name, columns)] = ak.Array(np.stack([values[output.name] for values in outputs]))
    if contract.classes:
        columns[free("label", columns)] = ak.Array(np.array([example.label for example in examples], np.int32))
    types = {branch: column.type for branch, column in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree(TREE, types, counter_name=lambda branch: free(f"n{branch}", types)).extend(columns)
