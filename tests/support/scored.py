"""Test splits with known scores, as `predict` would have stored them: no training, no network."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cyclotrain.contract import Contract, Layout, Observer
from cyclotrain.contract.results import BOOSTED_TREES, MODEL
from cyclotrain.evaluation.predictions import Predictions, write_probabilities

OBSERVERS = (Observer("jet_pt", "jet_pt", "Jet $p_T$ [GeV]"), Observer("pileup", "n_pv", "Number of vertices"))


def contract_of(classes: tuple[str, ...], observers: tuple[Observer, ...] = OBSERVERS) -> Contract:
    """What the evaluation reads of a contract; the signal is the last class."""
    layout = Layout(scalars=("jet_pt",), sets={}, observers=tuple(observer.expression for observer in observers))
    known: dict[str, Any] = dict.fromkeys(Contract.__dataclass_fields__)
    return Contract(
        **{
            **known, "run": "toy", "seed": 1, "classes": classes, "signal": classes[-1], "regression": (), "layout": layout,
            "observers": observers, "samples": {},
        }
    )  # fmt: skip


def separated(n: int, classes: int, *, seed: int, power: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels [n], and the probabilities [n, classes] of Gaussian classifiers, one standard deviation * `power` apart."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % classes
    logits = random.normal(size=(n, classes)) + power * np.eye(classes)[label] * np.linspace(0.6, 1.6, classes)[label][:, None]
    exponentials = np.exp(logits * 2 - (logits * 2).max(axis=1, keepdims=True))
    return label, (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def stored(contract: Contract, folder: Path, *, n: int = 2000, seed: int = 1, **changes: Any) -> Predictions:
    """Predictions of the model and of boosted trees. `changes`: columns of the examples in place of the toys' own."""
    random = np.random.default_rng(seed)
    label, probabilities = separated(n, len(contract.classes), seed=seed, power=1.6)
    columns = {
        "label": label.astype(np.int32),
        "weight": random.uniform(0.5, 1.5, n),
        "training_weight": np.ones(n),
        "observer:jet_pt": 500 + random.exponential(200, n),
        "observer:n_pv": random.poisson(35, n),
        **changes,
    }
    columns = {name: values if name == "label" else values.astype(np.float32) for name, values in columns.items()}
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    folder.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(str(folder / "examples.arrow"), table.schema) as file:
        file.write_table(table, max_chunksize=2**16)
    write_probabilities(contract, probabilities, folder / f"{MODEL}.arrow")
    trees = separated(n, len(contract.classes), seed=seed + 1000, power=1.2)[1]
    write_probabilities(contract, trees, folder / f"{BOOSTED_TREES}.arrow")
    answers = {scorer: folder / f"{scorer}.arrow" for scorer in (MODEL, BOOSTED_TREES)}
    return Predictions(contract, examples=folder / "examples.arrow", answers=answers)
