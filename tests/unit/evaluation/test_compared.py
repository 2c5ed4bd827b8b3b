"""Earlier models on the test examples of a run, and those that cannot run on them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from cyclotrain.config import ConfigError, load
from cyclotrain.contract.compared import contract_of_model, model_file, require_comparable, require_same_constituents
from cyclotrain.contract.layout import Layout
from cyclotrain.contract.results import MODEL
from cyclotrain.core.errors import InputError
from cyclotrain.evaluation.compared import Entry, predict_compared
from cyclotrain.evaluation.evaluate import evaluate
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.ingest.preflight import check_inputs
from cyclotrain.ingest.sources import Sources
from support.toys import raw_config
from support.trained import Trained, with_contract

FILES = {"background": "b.root", "signal": "s.root"}


def compare(trained: Trained, model: Path, folder: Path) -> Any:
    path = folder / "old.arrow"
    entry = Entry("old", str(model), model)
    return predict_compared(trained.contract, entry, shards=trained.shards, threads=1, path=path), path


def test_the_figures_of_an_earlier_model_are_those_of_these_test_examples(
    trained: Trained, trained_to_regress: Trained, tmp_path: Path
) -> None:
    """The other model has more outputs; the same model gives the same figures."""
    own, own_path = compare(trained, trained.onnx, tmp_path)
    (tmp_path / "other").mkdir()
    other, other_path = compare(trained, trained_to_regress.onnx, tmp_path / "other")
    examples = trained.folder / "predictions"
    trained.predictions()
    answers = {MODEL: examples / "test/model.arrow", "same": own_path, "old": other_path}
    predictions = {
        "train": Predictions(
            trained.contract, examples=examples / "train/examples.arrow", answers={MODEL: examples / "train/model.arrow"}
        ),
        "test": Predictions(trained.contract, examples=examples / "test/examples.arrow", answers=answers),
    }
    compared = [own.model_copy(update={"name": "same"}), other]
    settings = trained.config.evaluation
    evaluation, curves = evaluate(trained.contract, predictions, model=trained.onnx, settings=settings, compared=compared)
    figures = evaluation.figures()
    assert figures["auc.background.same"] == figures["auc.background"]
    assert figures["rejection.background.at_0.5.same"] == figures["rejection.background.at_0.5"]
    assert figures["auc.background.old"] != figures["auc.background"] and "accuracy.old" in figures
    assert {curve.scorer for curve in curves.roc} == {MODEL, "same", "old"}
    assert evaluation.rejection_loss == {}
    assert evaluation.compared[0].model_sha256 == evaluation.model_sha256 and evaluation.compared[0].note is None


def test_the_inputs_of_a_model_are_found_by_name(trained: Trained, tmp_path: Path) -> None:
    model = onnx.load(trained.onnx)
    inputs = list(model.graph.input)[::-1]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    onnx.save(model, tmp_path / "reordered.onnx")
    _, path = compare(trained, tmp_path / "reordered.onnx", tmp_path)
    trained.predictions()
    examples = trained.folder / "predictions/test"
    whole = Predictions(
        trained.contract, examples=examples / "examples.arrow", answers={MODEL: examples / "model.arrow", "old": path}
    ).whole()
    np.testing.assert_array_equal(whole.probabilities("old"), whole.probabilities(MODEL))


def test_a_model_of_another_split_is_told(trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = with_contract(trained.onnx, tmp_path / "seed.onnx", seed=77)
    described, _ = compare(trained, other, tmp_path)
    assert "some of these test examples may have been in its training: the seed of its split differ" in described.note
    assert "compare.old" in caplog.text


def test_a_model_of_other_classes_or_branches_is_refused_with_all_that_differs(trained: Trained, tmp_path: Path) -> None:
    contract = trained.contract
    branches = [name for name in contract.layout.inputs if name != "pf_pt"]
    with pytest.raises(InputError) as error:
        require_comparable("compare.old", contract, classes=["signal", "background"], branches=branches, object_name="Jet")
    text = str(error.value)
    assert "compare.old: the model cannot run on the examples of this run" in text
    assert "it needs the branches pf_pt, which this run does not read" in text
    assert "its classes are [background, signal], and those of this run [signal, background], in this order" in text
    assert "its examples are an event, and those of this run 'Jet'" in text


def changed(layout: Layout, **fields: Any) -> Layout:
    return replace(layout, sets={name: replace(one, **fields) if one.is_jagged else one for name, one in layout.sets.items()})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_length": 1000}, "it takes 1000 constituents, and this run stores"),
        ({"sort_by": "pf_energy"}, "its constituents are sorted by pf_energy, and here by nothing"),
    ],
)
def test_a_model_of_other_constituents_is_refused(trained: Trained, fields: dict[str, Any], message: str) -> None:
    own = trained.contract.layout
    with pytest.raises(InputError, match=message):
        require_same_constituents("compare.old", changed(own, **fields), own)
    require_same_constituents("compare.old", changed(own, max_length=2), own)


def test_a_branch_that_is_a_list_here_and_a_number_there_is_refused(trained: Trained) -> None:
    own = trained.contract.layout
    jagged = next(name for name, of_set in own.inputs.items() if of_set)
    with pytest.raises(InputError, match=f"{jagged}: one value per example there, a list here"):
        require_same_constituents("compare.old", Layout(scalars=(jagged,), sets={}, observers=()), own)


def test_the_plan_finds_the_file_of_a_run_a_fold_a_bundle_or_a_file(tmp_path: Path) -> None:
    run = tmp_path / "new"
    for model in ("old/model/model.onnx", "folds/fold-1/model/model.onnx", "deploy/model.onnx"):
        (tmp_path / model).parent.mkdir(parents=True)
        (tmp_path / model).touch()
    assert model_file("old", str(tmp_path / "old"), run=run) == tmp_path / "old/model/model.onnx"
    assert model_file("old", str(tmp_path / "deploy"), run=run) == tmp_path / "deploy/model.onnx"
    assert model_file("old", str(tmp_path / "deploy/model.onnx"), run=run) == tmp_path / "deploy/model.onnx"
    assert model_file("old", "models:/tagger@champion", run=run) is None
    for where, message in (
        ("odl", "does not exist; did you mean"), ("folds", "it is a cross-training; give a fold"),
        ("new/x", "is of this run itself"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            model_file("old", str(tmp_path / where), run=run)


def test_a_file_that_is_no_model_of_cyclotrain_is_refused(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match="cannot be read as an ONNX file"):
        contract_of_model("compare.old", tmp_path / "text.onnx")
    model = onnx.load(trained.onnx)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match="was not made by Cyclotrain"):
        contract_of_model("compare.old", tmp_path / "foreign.onnx")


def test_the_plan_refuses_a_model_of_other_inputs(trained: Trained) -> None:
    raw = trained.config.model_dump(exclude_unset=True)
    del raw["inputs"]["jet"]
    config = load({**raw, "run": "new", "compare": {"old": str(trained.onnx)}})
    with pytest.raises(InputError, match=r"compare\.old: .*\n.*it needs the branches jet_eta, jet_mass"):
        check_inputs(config, Sources.from_config(config))
    raw = {**trained.config.model_dump(exclude_unset=True), "run": "new", "compare": {"old": str(trained.onnx)}}
    config = load(raw)
    check_inputs(config, Sources.from_config(config))
    raw["inputs"]["pf"]["max_length"] = 1
    config = load(raw)
    with pytest.raises(InputError, match=r"compare\.old: .*\n.*it takes \d+ constituents, and this run stores 1 "):
        check_inputs(config, Sources.from_config(config))


@pytest.mark.parametrize("name", ["model", "boosted_trees", "fp16", "vs_rest", "examples"])
def test_a_name_that_figures_have_already_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"compare.{name}: figures of this run have this name already"):
        load(raw_config(FILES, compare={name: "results/old"}))


def test_an_entry_has_gates_of_its_own() -> None:
    load(raw_config(FILES, compare={"old": "results/old"}, gates={"auc.background.old": ">= 0.1", "accuracy.old": ">= 0"}))
