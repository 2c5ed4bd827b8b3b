"""Systematic variations: by weights, by branches and by other samples, against what they must do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cyclotrain.config import load
from cyclotrain.config.gates import names
from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL, Systematics
from cyclotrain.core.errors import InputError
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.data.variations import with_branches
from cyclotrain.evaluation.predictions import Predictions, write_examples
from cyclotrain.evaluation.systematics import Nominal, measure_systematics
from cyclotrain.metrics.roc import Cells, discriminant
from cyclotrain.report import catalogue
from cyclotrain.report.plots.draw import draw
from cyclotrain.runtimes.sessions import open_session, predict
from support.toys import jets, raw_config, skim_and_assemble, toys, write_tree
from support.trained import Trained

SYSTEMATICS: dict[str, Any] = {
    "nothing": {"up": {"weight": "1 + 0 * isSignal"}, "down": {"branches": {"pf_pt": "pf_pt"}}},
    "spectrum": {"up": {"weight": "jet_pt / 600"}, "down": {"weight": "600 / jet_pt"}},
    "mass": {"up": {"branches": {"jet_mass": "1.1 * jet_mass"}}, "down": {"branches": {"jet_mass": "0.9 * jet_mass"}}},
    "scale": {"up": {"branches": {"pf_pt": "pf_pt * jet_pt / 500"}}},
    "same": {"up": {"samples": {"background": "again"}}},
    "showers": {"up": {"samples": {"background": "wider"}}},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("model")
    raw = raw_config(toys(folder), systematics=SYSTEMATICS)
    wider = jets(1500, 31)
    wider["jet_mass"] *= np.float32(1.3)
    paths = {"again": raw["samples"]["background"]["files"][0], "wider": write_tree(folder / "wider.root", wider)}
    for name, path in paths.items():
        # the weights of another sample are scaled to those of the nominal one
        raw["samples"][name] = {"files": [path], "tree": "Jets", "label": "background", "weight": "7 * genWeight"}
    return Trained(*skim_and_assemble(raw, folder), folder / "out")


@pytest.fixture(scope="module")
def measured(model: Trained) -> Systematics:
    return measure(model, model.config)


def measure(model: Trained, config: Any) -> Systematics:
    folder = Path(model.shards[0]).parent
    return measure_systematics(
        model.contract,
        Nominal(model.shards, model.predictions()["test"], open_session(model.onnx, 1)),
        systematics=config.systematics,
        others={name: [str(folder / f"{name}.arrow")] for name in config.variation_samples},
        signal_efficiencies=[0.3, 0.5],
    )


def auc(contract: Contract, probabilities: Any, label: Any, weight: Any) -> float:
    score = discriminant(probabilities, contract.signal_index, [0])
    return Cells.exact(score, label == 1, weight=weight).area().value or 0.0


def test_variations_that_change_nothing_shift_nothing(measured: Systematics) -> None:
    for one in measured.variations:
        if one.systematic in ("nothing", "same"):
            figures = [one.backgrounds["background"].auc, *(point.rejection for point in one.backgrounds["background"].points)]
            assert all(abs(figure.value or 0) < 1e-5 and (figure.uncertainty or 0) < 1e-5 for figure in figures), one.systematic
            assert one.shares["background"] == pytest.approx(measured.nominal["background"], abs=1e-4)


def test_weights_and_branches_shift_the_auc_as_they_do_for_the_whole_split(model: Trained, measured: Systematics) -> None:
    contract, examples = model.contract, read_split(model.shards, model.contract, "test")
    nominal = model.predictions()["test"].whole().probabilities(MODEL)
    before = auc(contract, nominal, examples.label, examples.weight)
    pt = examples.scalars[:, contract.layout.scalars.index("jet_pt")]
    session = open_session(model.onnx, 1)

    def varied(**expressions: str) -> Any:
        changed = with_branches(examples, contract.layout, expressions, where="here")
        return predict(session, (batch.branches for batch in Batches(changed, contract.layout, 512)))

    expected = {
        ("spectrum", "up"): (nominal, examples.weight * pt / 600),
        ("spectrum", "down"): (nominal, examples.weight * 600 / pt),
        ("mass", "up"): (varied(jet_mass="1.1 * jet_mass"), examples.weight),
        ("mass", "down"): (varied(jet_mass="0.9 * jet_mass"), examples.weight),
        ("scale", "up"): (varied(pf_pt="pf_pt * jet_pt / 500"), examples.weight),
    }
    for one in measured.variations:
        if (one.systematic, one.direction) in expected:
            answers, weight = expected[one.systematic, one.direction]
            shift = auc(contract, answers, examples.label, weight) - before
            assert one.backgrounds["background"].auc.value == pytest.approx(shift, abs=2e-4), one


def test_a_wider_sample_is_seen_and_more_uncertain_than_a_weight(measured: Systematics) -> None:
    by_name = {(one.systematic, one.direction): one for one in measured.variations}
    showers, spectrum = (by_name[name, "up"].backgrounds["background"].auc for name in ("showers", "spectrum"))
    assert showers.value is not None and showers.uncertainty and spectrum.uncertainty
    assert showers.value < -2 * showers.uncertainty and showers.uncertainty > 3 * spectrum.uncertainty
    point = by_name["showers", "up"].backgrounds["background"].points[1]
    assert point.signal_efficiency.value == pytest.approx(0, abs=1e-6)  # the signal is the same
    assert (point.background_efficiency.value or 0) > 0 > (point.rejection.value or 0)
    assert by_name["showers", "up"].kind == "samples" and sum(by_name["showers", "up"].shares["background"]) == pytest.approx(
        1, abs=1e-4
    )


def test_the_figures_are_those_that_the_plan_knows(model: Trained, measured: Systematics) -> None:
    config = load({**model.config.model_dump(exclude_unset=True), "evaluation": {"signal_efficiencies": [0.3, 0.5]}})
    assert set(measured.figures()) == {name for name in names(config) if name.startswith("systematic.")}
    assert "systematic.mass.up.rejection.background.at_0.5" in measured.figures()


def test_varied_branches_use_the_values_from_before_and_change_nothing_else(model: Trained) -> None:
    contract, examples = model.contract, read_split(model.shards, model.contract, "test")
    layout = contract.layout
    expressions = {"jet_pt": "2 * jet_pt", "pf_pt": "pf_pt + pf_eta", "pf_eta": "pf_eta * jet_pt * pf_pt"}
    changed = with_branches(examples, layout, expressions, where="here")
    column, branches = layout.scalars.index("jet_pt"), layout.sets["pf"].branches
    np.testing.assert_array_equal(changed.scalars[:, column], 2 * examples.scalars[:, column])
    others = [index for index in range(len(layout.scalars)) if index != column]
    np.testing.assert_array_equal(changed.scalars[:, others], examples.scalars[:, others])
    (values, offsets), (before, _) = changed.sets["pf"], examples.sets["pf"]
    own_pt = np.repeat(examples.scalars[:, column], np.diff(offsets))
    pt, eta = (before[:, branches.index(name)] for name in ("pf_pt", "pf_eta"))
    np.testing.assert_allclose(values[:, branches.index("pf_eta")], eta * own_pt * pt, rtol=1e-5)
    np.testing.assert_allclose(values[:, branches.index("pf_pt")], pt + eta, rtol=1e-6)
    for name in ("pf_charge", "pf_phi"):
        np.testing.assert_array_equal(values[:, branches.index(name)], before[:, branches.index(name)])


def test_a_factor_that_is_not_finite_is_named(ingest: Any, toy_files: dict[str, str], tmp_path: Path, model: Trained) -> None:
    config, contract, shards = ingest(raw_config(toy_files, systematics={"odd": {"up": {"weight": "log(isSignal)"}}}))
    write_examples(contract, shards, split="test", path=tmp_path / "examples.arrow")
    answers = model.folder / "predictions/test/model.arrow"
    model.predictions()
    predictions = Predictions(contract, examples=tmp_path / "examples.arrow", answers={MODEL: answers})
    nominal = Nominal(shards, predictions, open_session(model.onnx, 1))
    with pytest.raises(InputError, match=r"systematics\.odd\.up\.weight: 'log\(isSignal\)' is NaN or infinite for \d+ events"):
        measure_systematics(contract, nominal, systematics=config.systematics, others={}, signal_efficiencies=[0.5])


def test_a_weight_of_a_branch_that_a_sample_lacks_is_named_in_the_plan(toy_files: dict[str, str]) -> None:
    from cyclotrain.ingest.preflight import check_inputs
    from cyclotrain.ingest.sources import Sources

    config = load(raw_config(toy_files, systematics={"pileup": {"up": {"weight": "genWeigth"}}}))
    with pytest.raises(ValueError, match="has no branch 'genWeigth'; nearest names: genWeight"):
        check_inputs(config, Sources.from_config(config))


def test_shifts_and_scores_are_drawn(model: Trained, measured: Systematics, tmp_path: Path) -> None:
    measured.write(tmp_path / "results.json")
    entries = [entry for entry in catalogue.plots(model.config) if entry.section == catalogue.SYSTEMATICS]
    assert [entry.name for entry in entries] == ["systematics", "systematics_scores"]
    for entry in entries:
        paths = [tmp_path / f"{entry.name}.{form}" for form in ("png", "svg", "json")]
        draw(entry.function, {"systematics": tmp_path / "results.json"}, paths, **entry.options)
        assert all(path.stat().st_size > 500 for path in paths)
