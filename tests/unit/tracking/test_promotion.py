"""Versions in MLflow's registry, and which of them is the champion."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import onnx
import pytest
import yaml

from cyclotrain.__main__ import main
from cyclotrain.config import ConfigError, EvaluationConfig, load
from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.results import Evaluation, Figure
from cyclotrain.contract.run import RESULT_FILES, Run
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256
from cyclotrain.evaluation.earlier_model import evaluate_earlier_model
from cyclotrain.gates.judge import judge
from cyclotrain.tracking.promotion import beats, compared, promote, table
from cyclotrain.tracking.registry import fetch_weights
from cyclotrain.tracking.runs import track
from support.toys import raw_config, skim_and_assemble, toys
from support.tracked import finished_run
from support.trained import Trained, with_contract

SETTINGS = EvaluationConfig(signal_efficiencies=[0.3, 0.5])
GATES = {"auc.*": [">= 0.5"], "latency_ms.p99": ["<= 1000"]}


@pytest.fixture(scope="module")
def weaker(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model of the same branches that hardly learnt anything."""
    folder = tmp_path_factory.mktemp("weaker")
    raw = raw_config(toys(folder), training={"epochs": 1, "batch_size": 1024, "learning_rate": 1e-6})
    return Trained(*skim_and_assemble(raw, folder), folder / "out")


def tracking(folder: Path) -> TrackingConfig:
    return TrackingConfig(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="toys", register_as="tagger")


def registered(trained: Trained, folder: Path, **run_changes: Any) -> Run:
    """Track and register a model; its run."""
    finished = finished_run(trained, folder)
    run = replace(finished.models[folder], **run_changes)
    track(replace(finished, models={folder: run}), tracking=tracking(folder))
    return run


def aliases(folder: Path) -> dict[str, str]:
    client = mlflow.MlflowClient(tracking(folder).uri)
    return {alias: str(version) for alias, version in client.get_registered_model("tagger").aliases.items()}


def promoted(trained: Trained, run: Run, folder: Path, bounds: Any = None) -> tuple[bool, str]:
    def evaluate(exported: Path) -> Evaluation:
        contract = trained.contract
        return evaluate_earlier_model(contract, exported, shards=trained.shards, settings=SETTINGS, threads=1)

    return promote(run, tracking=tracking(folder), bounds=bounds or GATES, evaluate=evaluate)


def test_a_run_becomes_a_version_with_its_lineage_once(trained: Trained, tmp_path: Path) -> None:
    run = registered(trained, tmp_path)
    registered(trained, tmp_path)
    client = mlflow.MlflowClient(tracking(tmp_path).uri)
    (version,) = client.search_model_versions("name = 'tagger'")
    assert aliases(tmp_path) == {"challenger": "1"}
    assert version.tags["model_sha256"] == file_sha256(trained.onnx)
    assert version.tags["dataset_sha256"] == run.contract.dataset_sha256
    assert version.description.startswith(f"auc.background {run.figures()['auc.background'].value:.4g}, rejection.")
    entry = client.get_run(version.run_id)
    assert version.tags["commit"] == entry.data.tags["commit"]
    assert {one.dataset.name for one in entry.inputs.dataset_inputs} == {"background", "signal"}
    model = client.get_logged_model(version.source.removeprefix("models:/"))
    assert model.source_run_id == version.run_id and json.loads(model.tags["mlflow.modelVersions"])[0]["name"] == "tagger"
    path = mlflow.artifacts.download_artifacts("models:/tagger@challenger")
    assert file_sha256(Path(path) / "model.onnx") == file_sha256(trained.onnx)
    mlflow.set_tracking_uri(tracking(tmp_path).uri)
    fetch_weights("models:/tagger@challenger", uri=tracking(tmp_path).uri, path=tmp_path / "weights.pt")
    assert file_sha256(tmp_path / "weights.pt") == file_sha256(trained.weights)


def test_nothing_is_registered_without_being_asked_for_or_with_a_failed_gate(trained: Trained, tmp_path: Path) -> None:
    client = mlflow.MlflowClient(tracking(tmp_path).uri)
    track(finished_run(trained, tmp_path), tracking=TrackingConfig(uri=tracking(tmp_path).uri, experiment="toys"))
    run = trained.run()
    failed = judge(run.verification, run.figures(), bounds={"auc.*": [">= 0.99999"]}, rejection_losses={})
    registered(trained, tmp_path, gates=failed)
    assert client.search_registered_models() == []


def test_a_registration_that_was_interrupted_is_completed(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("create_model_version", "set_registered_model_alias", "set_model_version_tag"):
        with monkeypatch.context() as patch:
            patch.setattr(mlflow.MlflowClient, name, lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
            with pytest.raises(InputError, match="No space left"):
                registered(trained, tmp_path)
    registered(trained, tmp_path)
    (version,) = mlflow.MlflowClient(tracking(tmp_path).uri).search_model_versions("name = 'tagger'")
    assert aliases(tmp_path) == {"challenger": "1"} and version.tags["model_sha256"] == file_sha256(trained.onnx)


def test_the_first_model_is_promoted_and_one_that_beats_it_follows(trained: Trained, weaker: Trained, tmp_path: Path) -> None:
    first = registered(weaker, tmp_path)
    assert promoted(weaker, first, tmp_path)[0]
    assert aliases(tmp_path) == {"champion": "1"}
    assert promoted(weaker, first, tmp_path) == (True, "version 1 of 'tagger' is the champion already")
    second = registered(trained, tmp_path)
    assert aliases(tmp_path) == {"champion": "1", "challenger": "2"}
    is_champion, words = promoted(trained, second, tmp_path)
    assert is_champion and aliases(tmp_path) == {"champion": "2"}
    champion, challenger = (one.run().figures()["auc.background"] for one in (weaker, trained))
    # the champion on the challenger's test events, which are its own here
    cells = [f"{figure.value:.5g} ± {figure.uncertainty:.2g}" for figure in (challenger, champion)]
    (row,) = [line for line in words.splitlines() if line.startswith("auc.background")]
    assert [cell.strip() for cell in row.split("  ") if cell] == ["auc.background", *cells, ">= 0.5", "better"]
    assert "Promoted: version 2 is the champion, models:/tagger@champion. Version 1 was." in words
    client = mlflow.MlflowClient(tracking(tmp_path).uri)
    version = client.get_model_version("tagger", "2")
    assert version.tags["promoted_over"] == "version 1"
    assert "promotion.txt" in {file.path for file in client.list_artifacts(version.run_id)}
    # tracked again, it stays what it is
    registered(trained, tmp_path)
    registered(weaker, tmp_path)
    assert aliases(tmp_path) == {"champion": "2"}


def test_a_model_that_is_worse_is_not_promoted(trained: Trained, weaker: Trained, tmp_path: Path) -> None:
    promoted(trained, registered(trained, tmp_path), tmp_path)
    is_champion, words = promoted(weaker, registered(weaker, tmp_path), tmp_path)
    assert not is_champion and "worse" in words and "Not promoted" in words
    assert aliases(tmp_path) == {"champion": "1", "challenger": "2"}


def test_a_run_that_is_not_the_challenger_is_named(trained: Trained, weaker: Trained, tmp_path: Path) -> None:
    run = registered(weaker, tmp_path)
    registered(trained, tmp_path)
    with pytest.raises(InputError, match=r"the model of run 'test' is not the challenger of 'tagger'.*version 2, of run 'test'"):
        promoted(weaker, run, tmp_path)
    with pytest.raises(InputError, match=r"gates: declare at least one"):
        promote(run, tracking=tracking(tmp_path), bounds={}, evaluate=lambda _: run.evaluation)
    with pytest.raises(InputError, match=r"tracking\.register_as: give the name"):
        promote(run, tracking=TrackingConfig(), bounds=GATES, evaluate=lambda _: run.evaluation)


def champion_with(path: Path, weaker: Trained, trained: Trained, folder: Path) -> Run:
    """The run of a challenger beside a champion whose model is that of `path`, or lost if there is none."""
    promoted(weaker, registered(weaker, folder), folder)
    client = mlflow.MlflowClient(tracking(folder).uri)
    model = client.get_logged_model(client.get_model_version("tagger", "1").source.removeprefix("models:/"))
    stored = Path(model.artifact_location.removeprefix("file://")) / "model.onnx"
    if path.exists():
        shutil.copy(path, stored)
    else:
        stored.unlink()
    return registered(trained, folder)


def test_a_champion_that_cannot_be_loaded_is_named(trained: Trained, weaker: Trained, tmp_path: Path) -> None:
    run = champion_with(tmp_path / "nothing", weaker, trained, tmp_path)
    with pytest.raises(
        InputError,
        match=r"the champion, version 1 of 'tagger', cannot be compared: champion: 'models:/tagger/1' is not in .*\n.*remove the",
    ):
        promoted(trained, run, tmp_path)
    assert aliases(tmp_path) == {"champion": "1", "challenger": "2"}


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"no onnx" * 100, "cannot be read as an ONNX file"), (None, "was not made by Cyclotrain")],
)
def test_a_champion_that_is_no_model_of_cyclotrain_is_named(
    trained: Trained, weaker: Trained, tmp_path: Path, text: bytes | None, message: str
) -> None:
    other = tmp_path / "other.onnx"
    if text:
        other.write_bytes(text)
    else:
        model = onnx.load(weaker.onnx)
        del model.metadata_props[:]
        onnx.save(model, other)
    run = champion_with(other, weaker, trained, tmp_path)
    with pytest.raises(InputError, match=rf"cannot be compared: champion: '.*champion\.onnx' {message}"):
        promoted(trained, run, tmp_path)


def test_a_champion_with_another_contract_is_named_with_each_difference(
    trained: Trained, weaker: Trained, tmp_path: Path
) -> None:
    layout = trained.contract.to_dict()["layout"]
    scalars = [name for name in layout["scalars"] if name != "jet_mass"] + ["jet_msoftdrop"]
    other = with_contract(weaker.onnx, tmp_path / "other.onnx", layout={**layout, "scalars": scalars}, classes=["light", "heavy"])
    run = champion_with(other, weaker, trained, tmp_path)
    with pytest.raises(InputError) as raised:
        promoted(trained, run, tmp_path)
    for words in (
        "its classes are [light, heavy], and those of this run [background, signal]",
        "it needs the branches jet_msoftdrop, which this run does not read",
    ):
        assert words in str(raised.value)


def test_a_champion_that_may_have_seen_the_test_events_is_compared_with_a_warning(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = with_contract(trained.onnx, tmp_path / "other.onnx", seed=2)
    found = evaluate_earlier_model(trained.contract, other, shards=trained.shards, settings=SETTINGS, threads=1)
    assert "some of these test examples may have been in its training: the seed of its split differ" in caplog.text
    own = trained.run().evaluation.figures()
    assert found.figures()["auc.background"] == own["auc.background"]


def test_verdicts_respect_the_sense_of_a_bound_and_the_uncertainty() -> None:
    def verdict(ours: float | None, theirs: float | None, *bounds: str, name: str = "x", sigma: float = 0.01) -> str:
        champion = {name: Figure(value=theirs, uncertainty=sigma)}
        (row,) = compared({name: Figure(value=ours, uncertainty=sigma)}, champion, bounds={name: bounds})
        return row.verdict

    equal = "equal within the uncertainty"
    assert verdict(0.9, 0.8, ">= 0.5") == "better" and verdict(0.9, 0.8, "<= 1") == "worse"
    assert verdict(0.805, 0.8, ">= 0.5") == verdict(0.795, 0.8, ">= 0.5") == equal
    assert verdict(0.8, 0.9, ">= 0.5") == "worse" and verdict(0.8, 0.9, "<= 1") == "better"
    assert verdict(-0.1, 0.3, "absolute <= 1") == "better" and verdict(-0.3, 0.1, "absolute <= 1") == "worse"
    assert verdict(0.4, 0.3, ">= 0.5") == verdict(None, 0.3, ">= 0.5") == "bound not met"
    assert verdict(0.6, 0.3, ">= 0.5", "<= 0.7") == verdict(0.4, 0.9, ">= 0.01", name="ks_p_value.qcd") == "bound met"
    assert verdict(0.6, None, ">= 0.5") == "worse"  # a rejection without background left


def test_a_challenger_must_be_better_in_one_figure_and_worse_in_none() -> None:
    def wins(**ours: float) -> bool:
        theirs = {name: Figure(value=0.5, uncertainty=0.01) for name in ("a", "b")}
        figures = {name: Figure(value=value, uncertainty=0.01) for name, value in ours.items()}
        rows = compared(figures, theirs, bounds={"a": [">= 0.1"], "b": [">= 0.1"]})
        assert len(list(table(rows))) == 3
        return beats(rows)

    assert wins(a=0.6, b=0.5) and wins(a=0.6, b=0.6)
    assert not wins(a=0.5, b=0.5) and not wins(a=0.9, b=0.4) and not wins(a=0.9)


def test_a_cross_training_cannot_be_registered() -> None:
    raw = raw_config({"background": "b.root", "signal": "s.root"}, folds=2, tracking={"register_as": "tagger"})
    with pytest.raises(ConfigError, match=r"tracking\.register_as: 'folds' makes a model a fold"):
        load(raw)


def test_the_command_promotes_the_model_of_a_config(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = trained.config.model_dump(mode="json")
    raw |= {"tracking": tracking(tmp_path).model_dump(), "gates": {"auc.*": ">= 0.5"}}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(raw))
    assert main(["promote", "my.yaml"]) == 1
    assert "'results/test' is no finished run, run the workflow with my.yaml first" in capsys.readouterr().err
    run = registered(trained, tmp_path)
    for name, path in run.files.items():
        (tmp_path / "results/test" / RESULT_FILES[name]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "results/test" / RESULT_FILES[name])
    assert main(["promote", "my.yaml"]) == 0
    assert capsys.readouterr().out.endswith("Promoted: version 1 is the champion, models:/tagger@champion.\n")
    assert aliases(tmp_path) == {"champion": "1"}
