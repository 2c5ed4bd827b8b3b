"""Training against test split, summed in blocks: the same as the tests of whole arrays."""

from pathlib import Path

import hist
import numpy as np
import pytest

from cyclotrain.evaluation import predictions as predictions_module
from cyclotrain.evaluation.trust import overtraining
from cyclotrain.metrics.chi_square import chi_square
from cyclotrain.metrics.kolmogorov import kolmogorov_smirnov
from support.predictions import predictions
from support.scored import contract_of, separated

N = 20_000


@pytest.mark.parametrize("share_of_negative", [0.0, 0.1])
def test_blocks_give_the_tests_of_the_whole_splits(
    share_of_negative: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions_module, "_BLOCK", 3001)
    contract, whole, splits = contract_of(("qcd", "w", "top"), ()), {}, {}
    for seed, split in enumerate(("train", "test")):
        label, probabilities = separated(N, 3, seed=seed, power=1.5)
        random = np.random.default_rng(seed)
        weight = (random.uniform(0.2, 2, N) * np.where(random.random(N) < share_of_negative, -1, 1)).astype(np.float32)
        splits[split] = predictions(contract, tmp_path / split, label=label, probabilities=probabilities, weight=weight)
        whole[split] = label, probabilities[:, 2], weight.astype(np.float64)
    tests, histograms = overtraining(splits)
    for index, name in enumerate(contract.classes):
        scores, weights, filled = {}, {}, {}
        for split, (label, score, weight) in whole.items():
            scores[split], weights[split] = score[label == index], weight[label == index]
            filled[split] = hist.Hist(hist.axis.Regular(40, 0, 1), storage=hist.storage.Weight())
            filled[split].fill(scores[split], weight=weights[split])
            drawn = next(one for one in histograms if (one.class_name, one.split) == (name, split))
            np.testing.assert_allclose(drawn.values, filled[split].values() / weights[split].sum(), atol=1e-9)
            np.testing.assert_allclose(drawn.variances, filled[split].variances() / weights[split].sum() ** 2, atol=1e-9)
        exact = kolmogorov_smirnov(
            scores["train"], scores["test"], first_weights=weights["train"], second_weights=weights["test"]
        )
        assert tests[name].ks_distance == pytest.approx(exact.distance, abs=1e-3)
        assert tests[name].ks_distance <= exact.distance + 1e-12
        expected = chi_square(
            filled["train"].values(),
            filled["test"].values(),
            first_variance=filled["train"].variances(),
            second_variance=filled["test"].variances(),
        )
        assert (tests[name].chi_square, tests[name].degrees) == (pytest.approx(expected.value, rel=1e-9), expected.degrees)
        assert tests[name].chi2_p_value == pytest.approx(expected.p_value, abs=1e-9)
