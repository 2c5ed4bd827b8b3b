"""Gradient-boosted trees on example-level features, which a network has to beat."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from cyclotrain.contract import Contract
from cyclotrain.data.shards import read_split
from cyclotrain.data.training_weights import training_weights
from cyclotrain.evaluation.predictions import write_probabilities

_ENOUGH = 20  # examples of each class; early stopping holds back a tenth for validation
_log = logging.getLogger(__name__)


def baseline(contract: Contract, shards: Sequence[str], *, path: str | Path) -> None:
    """Train scikit-learn's HistGradientBoostingClassifier and write its probabilities for the test split.

    There are none without classes, and if the contract names no example-level features.
    """
    start = time.monotonic()
    train, test = (read_split(shards, contract, split) for split in ("train", "test"))
    probabilities = np.empty((len(test), 0), np.float32)
    is_trained = bool(contract.classes and contract.baseline_features)
    if is_trained:
        columns = [contract.layout.observers.index(text) for text in contract.baseline_features]
        # trees cannot use negative weights, so such examples are left out here; the figures on the test split count them
        weight = training_weights(train, contract)
        usable = weight > 0
        enough = np.bincount(train.label[usable]).min() >= _ENOUGH
        trees = HistGradientBoostingClassifier(
            max_iter=300, learning_rate=0.05, early_stopping=bool(enough), random_state=contract.seed
        )
        trees.fit(_finite(train.observers[usable][:, columns]), train.label[usable], sample_weight=weight[usable])
        probabilities = trees.predict_proba(_finite(test.observers[:, columns])).astype(np.float32)
    write_probabilities(contract, probabilities, path)
    if is_trained:
        _log.info(
            "boosted trees: %d iterations on %d examples, %.1f s in all",
            trees.n_iter_, usable.sum(), time.monotonic() - start,
        )  # fmt: skip
    else:
        missing = "example-level features (config key `baseline.features`)" if contract.classes else "classes"
        _log.info("boosted trees: not trained, as there are no %s", missing)


def _finite(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The features with infinite values replaced by NaN, which the trees treat as missing."""
    return np.where(np.isfinite(features), features, np.nan)
