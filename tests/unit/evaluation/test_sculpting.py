"""What cuts on a score do to the mass of background, from scores of which the truth is known."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from cyclotrain.contract import Contract
from cyclotrain.contract.results import Confusion, Curves, Evaluation, ObserverHistogram, Sculpting
from cyclotrain.evaluation import predictions as module
from cyclotrain.evaluation import sculpting as sculpting_module
from cyclotrain.evaluation.sculpting import sculpting
from cyclotrain.evaluation.trust import calibrations, overtraining
from cyclotrain.metrics.distance_correlation import distance_correlation
from cyclotrain.report.plots import trust
from support.predictions import predictions
from support.toys import raw_config, skim_and_assemble, toys

Measure = Callable[..., tuple[Sculpting, list[ObserverHistogram]]]


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    folder = tmp_path_factory.mktemp("contract")
    return skim_and_assemble(raw_config(toys(folder, 300), observers={"mass": {"expression": "jet_mass"}}), folder)[1]


@pytest.fixture
def measure(contract: Contract, tmp_path: Path) -> Measure:
    def measured(
        follows: float, n: int = 20_000, seed: int = 0, weight: np.ndarray | float = 1.0, mass: np.ndarray | None = None
    ) -> tuple[Sculpting, list[ObserverHistogram]]:
        label, score, usual = sample(follows, n, seed)
        split = predictions(
            contract,
            tmp_path,
            label=label,
            probabilities=np.stack([1 - score, score], axis=1),
            weight=weight,
            observers={"jet_mass": usual if mass is None else mass},
        )
        results, histograms = sculpting(split, signal_efficiencies=[0.3, 0.5], mistags=[0.1])
        return results["mass"]["background"], histograms

    return measured


def sample(follows: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and masses; the score of background has a part that follows the mass."""
    random = np.random.default_rng(seed)
    label = np.arange(n) % 2
    mass = random.exponential(50, n) + 40
    score = 1 / (1 + np.exp(-(random.normal(2 * label - 1, 1) + follows * (mass - 90) / 50)))
    return label, score, mass


def test_the_divergence_is_that_of_what_passes_from_what_fails_the_cut(measure: Measure) -> None:
    weight = np.random.default_rng(5).uniform(0.2, 2, 20_000).astype(np.float32)
    result, histograms = measure(1.0, weight=weight)
    label, score, mass = sample(1.0, 20_000, 0)
    signal, background = label == 1, label == 0
    everything = next(one for one in histograms if one.at_mistag is None)
    at_30, at_50, at_mistag = result.cuts
    assert [(cut.at, cut.is_mistag) for cut in result.cuts] == [(0.3, False), (0.5, False), (0.1, True)]
    assert at_30.signal_efficiency == pytest.approx(0.3, abs=2e-3) and at_50.signal_efficiency == pytest.approx(0.5, abs=2e-3)
    assert at_mistag.background_efficiency == pytest.approx(0.1, abs=2e-3)
    for cut in result.cuts:
        passes = score >= cut.threshold
        assert weight[passes & signal].sum() / weight[signal].sum() == pytest.approx(cut.signal_efficiency, abs=2e-3)
        assert weight[passes & background].sum() / weight[background].sum() == pytest.approx(cut.background_efficiency, abs=2e-3)
        inside = np.clip(mass, everything.edges[0] + 1e-3, everything.edges[-1] - 1e-3)
        passing, failing = (
            np.histogram(inside[rows], everything.edges, weights=weight[rows])[0]
            for rows in (background & passes, background & ~passes)
        )
        assert cut.divergence.value == pytest.approx(jensenshannon(passing, failing, base=2) ** 2, rel=0.02)
        if cut.is_mistag:
            shown = next(one for one in histograms if one.at_mistag == cut.at)
            np.testing.assert_allclose(shown.values, passing / passing.sum(), atol=2e-3)
    expected = distance_correlation(mass[background], score[background], weight=weight[background])
    assert result.distance_correlation == pytest.approx(expected.value, rel=1e-4)
    assert result.examples == 10_000 and result.left_out == 0


def test_a_score_that_does_not_follow_the_mass_has_the_divergence_of_fluctuations(measure: Measure) -> None:
    values, expected = [], []
    for seed in range(20):
        result, _ = measure(0.0, n=5000, seed=seed)
        values += [cut.divergence.value for cut in result.cuts]
        expected += [cut.if_same for cut in result.cuts]
    assert np.mean(values) == pytest.approx(np.mean(expected), rel=0.2)
    result, _ = measure(1.0)
    assert all(cut.divergence.value > cut.if_same + 10 * cut.divergence.uncertainty for cut in result.cuts)


def test_blocks_add_up_to_the_whole(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(0.5)
    monkeypatch.setattr(module, "_BLOCK", 999)
    in_blocks = measure(0.5)
    assert [cut.divergence for cut in in_blocks[0].cuts] == pytest.approx([cut.divergence for cut in whole[0].cuts])
    assert in_blocks[0].left_out == whole[0].left_out


def test_memory_does_not_grow_with_the_number_of_examples(
    contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all that is said of trust."""
    monkeypatch.setattr(module, "_BLOCK", 2**13)
    monkeypatch.setattr(sculpting_module, "_SAMPLE", 5000)
    peaks = []
    for n in (2**15, 2**18):
        label, score, mass = sample(1.0, n, 0)
        split = predictions(
            contract,
            tmp_path / str(n),
            label=label,
            probabilities=np.stack([1 - score, score], axis=1),
            observers={"jet_mass": mass},
        )
        tracemalloc.start()
        sculpting(split, signal_efficiencies=[0.5], mistags=[0.1])
        overtraining({"train": split, "test": split})
        calibrations({"train": split, "test": split})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_examples_whose_observer_is_not_finite_are_left_out_and_counted(bad: float, measure: Measure) -> None:
    *_, mass = sample(1.0, 20_000, 0)
    usual, _ = measure(1.0)
    mass[::10] = bad  # of background
    result, _ = measure(1.0, mass=mass)
    assert result.left_out == 2000
    assert result.cuts[0].divergence.value == pytest.approx(usual.cuts[0].divergence.value, rel=0.2)
    assert result.cuts[0].background_efficiency == usual.cuts[0].background_efficiency


def test_an_observer_that_is_never_finite_has_no_divergence(measure: Measure) -> None:
    result, histograms = measure(1.0, mass=np.full(20_000, np.nan))
    assert result.left_out == 10_000 and result.distance_correlation is None and not histograms
    assert all(cut.divergence.value is None and cut.background_efficiency for cut in result.cuts)


@pytest.mark.parametrize("empty", [0, 1])
def test_a_class_whose_weights_are_0_gives_no_figure(empty: int, measure: Measure) -> None:
    result, _ = measure(1.0, weight=np.where(np.arange(20_000) % 2 == empty, 0.0, 1.0))
    at_30, _, at_mistag = result.cuts
    assert at_30.divergence.value is None and (at_30.threshold is None) == (empty == 1)
    assert (at_mistag.divergence.value is None) == (at_mistag.threshold is None) == (empty == 0)


def test_a_class_whose_weights_are_0_has_no_p_value_and_plots_are_drawn(contract: Contract, tmp_path: Path) -> None:
    label, score, mass = sample(1.0, 2000, 0)
    mass[::4] = np.nan
    splits = {
        split: predictions(
            contract,
            tmp_path / split,
            label=label,
            probabilities=np.stack([1 - score, score], axis=1),
            weight=np.where(label == 0, 0.0, 1.0) if split == "test" else 1.0,
            observers={"jet_mass": mass},
        )
        for split in ("train", "test")
    }
    tests, scores = overtraining(splits)
    assert tests["background"].p_value is None and tests["background"].chi2_p_value is None
    assert tests["signal"].p_value == pytest.approx(1) and tests["signal"].chi2_p_value == pytest.approx(1)
    assert all(one.error.value is not None for one in calibrations(splits).values())  # with the weights of the training
    results, histograms = sculpting(splits["test"], signal_efficiencies=[0.5], mistags=[0.1])
    evaluation = Evaluation(
        model_sha256="",
        test_examples=2000,
        signal="signal",
        performance={},
        rejection_loss={},
        confusion=Confusion(classes=contract.classes, fraction=((None, None), (0.0, 1.0)), uncertainty=((None,) * 2,) * 2),
        overtraining=tests,
        sculpting=results,
    )
    curves = Curves(roc=(), scores=tuple(scores), sculpting=tuple(histograms))
    for tables in (
        trust.scores(evaluation, curves, [tmp_path / "scores.svg"]),
        trust.sculpting(evaluation, curves, [tmp_path / "mass.svg"], observer="mass", background="background"),
    ):
        list(tables)
    assert (tmp_path / "scores.svg").exists()
    assert "no test example of background has mass" in (tmp_path / "mass.svg").read_text()
