"""What models answer, stored for the studies of a run."""

from pathlib import Path

import numpy as np
import pytest

from cyclotrain.contract.results import BOOSTED_TREES, MODEL
from cyclotrain.data.shards import read_split
from cyclotrain.data.training_weights import training_weights
from cyclotrain.evaluation import predictions as module
from cyclotrain.evaluation.predictions import Predictions, write_probabilities
from support.trained import Trained


def test_stored_examples_are_those_of_the_shards(trained: Trained) -> None:
    for split, predictions in trained.predictions().items():
        examples, scored = read_split(trained.shards, trained.contract, split), predictions.whole()
        assert len(predictions) == len(scored) == len(examples)
        for name in ("label", "weight", "observers", "targets"):
            np.testing.assert_array_equal(getattr(scored, name), getattr(examples, name))
        np.testing.assert_array_equal(scored.training_weight, training_weights(examples, trained.contract))
        text = trained.contract.layout.observers[0]
        np.testing.assert_array_equal(scored.observer(text), examples.observers[:, 0])


def test_blocks_are_the_whole_one_after_another(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = trained.predictions()["test"]
    monkeypatch.setattr(module, "_BLOCK", 100)
    whole, blocks = predictions.whole(), list(predictions.blocks())
    assert len(blocks) > 2 and {len(block) for block in blocks[:-1]} == {100}
    for scorer in (MODEL, BOOSTED_TREES):
        parts = np.concatenate([block.probabilities(scorer) for block in blocks])
        np.testing.assert_array_equal(parts, whole.probabilities(scorer))
        np.testing.assert_allclose(parts.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([block.label for block in blocks]), whole.label)


def test_selected_examples_keep_their_answers(trained: Trained) -> None:
    whole = trained.predictions()["test"].whole()
    signal = whole.select(whole.label == 1)
    assert 0 < len(signal) < len(whole) and set(signal.label) == {1}
    np.testing.assert_array_equal(signal.probabilities(MODEL), whole.probabilities(MODEL)[whole.label == 1])


def test_trees_that_were_not_trained_give_no_answers(trained: Trained, tmp_path: Path) -> None:
    write_probabilities(trained.contract, np.empty((903, 0), np.float32), tmp_path / "trees.arrow")
    examples = trained.folder / "predictions/test/examples.arrow"
    trained.predictions()
    assert Predictions(trained.contract, examples=examples, answers={BOOSTED_TREES: tmp_path / "trees.arrow"}).scorers == ()
