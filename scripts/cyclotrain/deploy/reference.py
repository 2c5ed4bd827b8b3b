"""Reference vectors: real test examples with the answers that every consumer of the model must give."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch
import uproot

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import OUTPUT
from cyclotrain.core.files import atomic_folder, file_sha256, write_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import Examples, read_split
from cyclotrain.runtimes.sessions import open_session, run

TOLERANCE = 1e-6
TREE = "reference"
_EXAMPLES = 300


def write_reference(contract: Contract, exported: str | Path, shards: Sequence[str | Path], folder: str | Path) -> None:
    """Write reference.json, .root (tree `reference`) and .txt (for C++ without a library) into `folder`, whole or not at all.

    The examples are spread over the whole test split, with the one of fewest and the one of most constituents of each set;
    those with a NaN or an infinity in a branch are left out, as JSON has neither. The answers are those of this
    environment's ONNX Runtime, one example at a time.
    """
    test = read_split(shards, contract, "test")
    batches = Batches(test, contract.layout, 1)
    session = open_session(exported, threads=1)
    examples = []
    for row in _rows(test):
        branches = batches.gather(torch.tensor([row])).branches
        probabilities = run(session, branches)[0]
        counts = {name: int(offsets[row + 1] - offsets[row]) for name, (_, offsets) in test.sets.items()}
        inputs = {
            branch: branches[branch][0, : 1 if name is None else counts[name]].numpy()
            for branch, name in contract.layout.inputs.items()
        }
        if all(np.isfinite(values).all() for values in inputs.values()):
            examples.append((inputs, probabilities, int(test.label[row])))
    with atomic_folder(folder) as part:
        _write_json(contract, examples, file_sha256(exported), part / "reference.json")
        _write_text(examples, part / "reference.txt")
        _write_root(contract, examples, part / "reference.root")


_Example = tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[np.float32], int]


def _rows(test: Examples) -> list[int]:
    spread = np.linspace(0, len(test) - 1, min(_EXAMPLES, len(test))).astype(int)
    extremes = [(np.diff(offsets).argmin(), np.diff(offsets).argmax()) for _, offsets in test.sets.values()]
    return sorted({int(row) for row in [*spread, *(row for pair in extremes for row in pair)]})


def _write_json(contract: Contract, examples: Sequence[_Example], sha256: str, path: Path) -> None:
    content: dict[str, Any] = {
        "model_sha256": sha256,
        "runtime": f"onnxruntime {ort.__version__}, CPU, one example at a time",
        "classes": contract.classes,
        "tolerance": TOLERANCE,
        "examples": [
            {
                # float32 as the double of the same value
                "inputs": {branch: values.astype(float).tolist() for branch, values in inputs.items()},
                OUTPUT: probabilities.astype(float).tolist(),
                "label": contract.classes[label],
            }
            for inputs, probabilities, label in examples
        ],
    }
    write_json(path, content)


def _write_text(examples: Sequence[_Example], path: Path) -> None:
    def values(of: npt.NDArray[np.float32]) -> str:
        return " ".join([str(len(of)), *(f"{value:.9g}" for value in of)])  # 9 digits give back every float32

    lines = []
    for inputs, probabilities, _ in examples:
        lines += ["example", *(f"input {b} {values(v)}" for b, v in inputs.items()), f"output {values(probabilities)}"]
    path.write_text("\n".join(lines) + "\n")


def _write_root(contract: Contract, examples: Sequence[_Example], path: Path) -> None:
    columns = {}
    for branch, name in contract.layout.inputs.items():
        of_branch = [inputs[branch] for inputs, _, _ in examples]
        if name is None:
            columns[branch] = ak.Array(np.concatenate(of_branch))
        else:
            columns[branch] = ak.unflatten(np.concatenate(of_branch), [len(values) for values in of_branch])
    columns[OUTPUT] = ak.Array(np.stack([probabilities for _, probabilities, _ in examples]))
    columns["label"] = ak.Array(np.array([label for _, _, label in examples], np.int32))
    with uproot.recreate(path) as file:
        file.mktree(TREE, {branch: column.type for branch, column in columns.items()}).extend(columns)
