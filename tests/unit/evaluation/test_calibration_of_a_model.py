"""The calibration of a trained model, whose test split has more of one class than the training."""

from pathlib import Path

from support.toys import jets, raw_config, skim_and_assemble, toys, write_tree
from support.trained import Trained


def test_the_classes_have_the_shares_that_they_have_in_training(tmp_path: Path) -> None:
    raw = raw_config(toys(tmp_path, 4000), training={"epochs": 10, "batch_size": 64, "learning_rate": 0.003})
    more = write_tree(tmp_path / "more.root", jets(8000, 11))
    raw["samples"]["more"] = {"files": [more], "tree": "Jets", "label": "background", "split": "test"}
    evaluation, _ = Trained(*skim_and_assemble(raw, tmp_path), tmp_path / "out").evaluate()
    assert evaluation.test_examples > 10_000
    for measured in evaluation.calibration.values():
        # with the shares of the test split, the probability of background would be too small by 0.3
        assert measured.error.value is not None and measured.error.value < 0.05
        assert len(measured.bins) > 5
