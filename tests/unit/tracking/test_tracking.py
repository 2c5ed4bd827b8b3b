"""A finished run in a real MLflow store."""

import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime as ort
import pytest
from mlflow.exceptions import MlflowException

from cyclotrain.config.tracking import TrackingConfig
from cyclotrain.contract.compared import contract_of_model
from cyclotrain.contract.results import Dataset, Gates, InputFile
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import file_sha256, write_json
from cyclotrain.gates.judge import judge
from cyclotrain.tracking import datasets
from cyclotrain.tracking.parameters import parameters
from cyclotrain.tracking.registry import fetch_registered, fetch_weights
from cyclotrain.tracking.runs import FinishedRun, track
from cyclotrain.tracking.seeds import gather
from cyclotrain.tracking.store import log, opened
from support import REPOSITORY
from support.pages import blocks, type_block
from support.tracked import finished_folds, finished_run
from support.trained import Trained


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


def new_store(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def tracked(finished: FinishedRun, uri: str) -> tuple[Any, mlflow.MlflowClient]:
    """MLflow's run, and the client."""
    address = track(finished, tracking=TrackingConfig(uri=uri, experiment="toys"))
    client = mlflow.MlflowClient(uri)
    return client.get_run(address["run_id"]), client


def failing(trained: Trained) -> Gates:
    run = trained.run()
    return judge(run.verification, run.figures(), bounds={"auc.*": [">= 0.9999"]}, rejection_losses={})


def rows(uri: str) -> dict[str, int]:
    """The number of rows of each table of an SQLite store."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {table: database.execute(f'select count(*) from "{table}"').fetchone()[0] for table in tables}


def test_the_run_holds_every_figure_by_its_name_its_epochs_files_and_model(trained: Trained, store: str, tmp_path: Path) -> None:
    run = trained.run()
    entry, client = tracked(finished_run(trained, tmp_path), store)
    assert entry.info.status == "FINISHED" and entry.data.tags["gates"] == "passed"
    figures = {name: figure.value for name, figure in run.figures().items() if figure.value is not None}
    assert {name: entry.data.metrics[name] for name in figures} == pytest.approx(figures)
    for name in ("auc.background", "rejection.background.at_0.5", "parity.model", "latency_ms.p99"):
        assert name in figures
    for name in ("validation_loss", "train_loss", "validation_auc", "learning_rate"):
        curve = client.get_metric_history(entry.info.run_id, f"training/{name}")
        assert [(point.step, point.value) for point in curve] == [(e.epoch, getattr(e, name)) for e in run.history.epochs]
    memory = client.get_metric_history(entry.info.run_id, "system/memory_mb")
    assert [(point.step, point.value) for point in memory] == [
        (e.epoch, e.usage.memory_mb) for e in run.history.epochs if e.usage
    ]
    artifacts = {file.path for file in client.list_artifacts(entry.info.run_id)}
    assert {"card.md", "plots", "gates.json", "evaluation.json", "verification_matrix.csv", "weights.pt"} <= artifacts
    assert [file.path for file in client.list_artifacts(entry.info.run_id, "plots")] == ["plots/roc.png"]
    (model,) = client.search_logged_models([entry.info.experiment_id], f"source_run_id = '{entry.info.run_id}'")
    path = mlflow.artifacts.download_artifacts(f"{model.artifact_location}/model.onnx")
    assert [i.name for i in ort.InferenceSession(path).get_inputs()] == list(run.contract.layout.inputs)


def test_the_tags_say_what_the_run_was_made_of_and_by(trained: Trained, store: str, tmp_path: Path) -> None:
    tags = tracked(finished_run(trained, tmp_path), store)[0].data.tags
    assert tags["cyclotrain.model_sha256"] == file_sha256(trained.onnx)
    assert tags["contract_sha256"] == file_sha256(trained.dataset.with_name("contract.json"))
    assert tags["dataset_sha256"] == trained.contract.dataset_sha256
    assert tags["uncommitted_changes"] == ("yes" if tags["commit"].endswith("-dirty") else "no")
    assert tags["mlflow.source.git.commit"] == tags["commit"].removesuffix("-dirty")
    others = [
        tracked(finished_run(trained, tmp_path, run=run, seed=seed), store)[0].data.tags
        for run, seed in (("other", 2), ("test", 1))
    ]
    assert others[0]["config_sha256"] != tags["config_sha256"] == others[1]["config_sha256"]
    assert others[0]["config_without_seed_sha256"] == tags["config_without_seed_sha256"]


def test_the_description_says_what_the_model_is_whether_it_passed_its_figures_and_where_it_is(
    trained: Trained, tmp_path: Path
) -> None:
    uri, auc = new_store(tmp_path), trained.run().figures()["auc.background"]
    finished = finished_run(trained, tmp_path, description="Tells toys apart.")
    note = tracked(finished, uri)[0].data.tags["mlflow.note.content"]
    assert note.startswith("`deep_sets` of background, signal, trained on 1,8") and ", tested on " in note
    assert ".\n\n**All 2 gates passed.**\n\nTells toys apart.\n\n| figure | model |" in note
    assert f"| `auc.background` | {auc.value:.4g} ± {auc.uncertainty:.2g} |" in note
    assert f"`{trained.onnx}`" in note and f"All files: `{tmp_path}`" in note
    note = tracked(finished_run(trained, tmp_path, failing(trained)), uri)[0].data.tags["mlflow.note.content"]
    assert "**1 of 2 gates failed**" in note and "- `auc.background` = 0." in note and "required >= 0.9999" in note


def test_parameters_are_a_row_a_value_and_only_what_is_set() -> None:
    config = {
        "run": "toys", "tracking": {"uri": "x"}, "score": {}, "seed": 1, "object": None, "weight": "", "report": {"status": "x"},
        "define": {},
        "training": {"epochs": 3, "load": ["*"], "freeze": [], "learning_rate_factors": {"phi.*": 0.1, "rho": 2}},
        "gates": {"auc.*": [">= 0.9"], "auc.qcd": [">= 0.95", "<= 1"]},
        "flatten": {"variables": {"log(jet_pt)": [1, 2]}, "to": "flat"},
        "samples": {"qcd": {"files": [f"{i:04}.root" for i in range(2000)]}},
    }  # fmt: skip
    rows = parameters(config)
    files = rows.pop("samples.qcd.files")
    assert rows == {
        "seed": "1", "training.epochs": "3", "training.load": "*",
        "training.learning_rate_factors": "phi.*: 0.1", "training.learning_rate_factors.rho": "2",
        "gates": "auc.*: >= 0.9", "gates.auc.qcd": ">= 0.95, <= 1",
        "flatten.variables": "log(jet_pt): 1, 2", "flatten.to": "flat",
    }  # fmt: skip
    assert files.startswith("0000.root, 0001.root, ") and files.endswith(" ...") and len(files) <= 6000


def test_a_sample_is_a_data_set_with_its_files_and_a_digest_of_their_content(
    trained: Trained, store: str, tmp_path: Path
) -> None:
    entry, _ = tracked(finished_run(trained, tmp_path), store)
    dataset = trained.run().dataset
    given = {one.dataset.name: one for one in entry.inputs.dataset_inputs}
    assert set(given) == {"background", "signal"}
    for name, one in given.items():
        assert [tag.value for tag in one.tags] == ["training"]
        source = mlflow.data.get_source(one.dataset)
        assert source.to_dict()["tags"]["files"] == [file.path for file in dataset.files if file.sample == name]
        profile = json.loads(one.dataset.profile)
        assert profile["num_rows"] == 1500 == sum(profile[f"{split}_events"] for split in ("train", "validation", "test"))
    assert given["background"].dataset.digest != given["signal"].dataset.digest


def test_the_digest_of_a_sample_knows_content_and_not_places_also_of_remote_files(trained: Trained) -> None:
    dataset = trained.run().dataset

    def with_files(*files: InputFile) -> Dataset:
        return dataset.model_copy(update={"files": files})

    remote = InputFile(
        path="root://eos.example//store/a.root", bytes=5, uuid="u1", xxh3=None, events=3, kept=2, friends=(), sample="signal"
    )
    other = remote.model_copy(update={"uuid": "u2", "path": "root://eos.example//store/b.root"})

    def signal(*files: InputFile) -> Any:
        return next(one.dataset for one in datasets.inputs(with_files(*files)) if one.dataset.name == "signal")

    assert json.loads(signal(remote).source)["tags"] == {"files": ["root://eos.example//store/a.root"], "n_files": 1}
    assert signal(remote, other).digest == signal(other, remote.model_copy(update={"path": "elsewhere.root"})).digest
    assert signal(remote).digest != signal(other).digest
    many = signal(*(remote.model_copy(update={"path": f"root://eos.example//store/{i:0100}.root"}) for i in range(10_000)))
    assert len(many.source) < 65_535 and json.loads(many.source)["tags"]["files"][-1] == "and 9900 more, in dataset.json"


def test_pyfunc_predicts_the_example_of_the_model_and_other_shapes(trained: Trained, store: str, tmp_path: Path) -> None:
    entry, client = tracked(finished_run(trained, tmp_path), store)
    (model,) = client.search_logged_models([entry.info.experiment_id], f"source_run_id = '{entry.info.run_id}'")
    loaded = mlflow.pyfunc.load_model(f"models:/{model.model_id}")
    example = loaded.input_example
    answer = loaded.predict(example)
    vectors = json.loads((trained.folder / "reference/reference.json").read_text())["examples"][:3]
    np.testing.assert_allclose(answer["probabilities"], [one["probabilities"] for one in vectors], atol=1e-6)
    wide = {name: np.tile(x, (2, 1)) if x.shape[1] == 1 else np.tile(x, (2, 5)) for name, x in example.items()}
    assert loaded.predict(wide)["probabilities"].shape == (6, 2)
    shapes = {spec.name: spec.shape for spec in loaded.metadata.signature.inputs}
    assert shapes["jet_pt"] == (-1, 1) and shapes["pf_pt"] == (-1, -1)


def test_the_same_run_again_adds_nothing(trained: Trained, tmp_path: Path) -> None:
    uri, finished = new_store(tmp_path), finished_run(trained, tmp_path)
    before, _ = tracked(finished, uri)
    counted = rows(uri)
    artifacts = {path: path.read_bytes() for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()}
    after, _ = tracked(finished, uri)
    assert rows(uri) == counted
    assert {path: path.read_bytes() for path in (tmp_path / "mlartifacts").rglob("*") if path.is_file()} == artifacts
    assert after.info.run_id == before.info.run_id and after.data.to_dictionary() == before.data.to_dictionary()
    assert (after.info.start_time, after.info.end_time) == (before.info.start_time, before.info.end_time)


def test_a_failed_gate_makes_the_run_failed_and_the_same_model_updates_its_run(
    trained: Trained, store: str, tmp_path: Path
) -> None:
    before, _ = tracked(finished_run(trained, tmp_path), store)
    after, client = tracked(finished_run(trained, tmp_path, failing(trained)), store)
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FAILED"
    assert after.data.tags["gates"].startswith("failed: auc.background = 0.")
    assert "required >= 0.9999; the limit is gates.auc.*" in after.data.tags["gates"]
    assert len(client.search_runs([after.info.experiment_id])) == 1


def test_a_figure_that_was_measured_again_is_the_latest_whether_higher_or_lower(trained: Trained, tmp_path: Path) -> None:
    uri, finished = new_store(tmp_path), finished_run(trained, tmp_path)
    tracked(finished, uri)
    (run,) = finished.models.values()
    for value in (1e6, 1e-6):
        timing = run.timing.model_copy(
            update={"runtimes": (run.timing.runtimes[0].model_copy(update={"cold_start_ms": value}), *run.timing.runtimes[1:])}
        )
        gates = tmp_path / f"gates-{value}.json"
        run.gates.write(gates)  # later than the one before
        again = replace(run, timing=timing, files={**run.files, "gates": gates})
        entry, _ = tracked(replace(finished, models={tmp_path: again}), uri)
        assert entry.data.metrics["cold_start_ms"] == value


def test_an_import_that_was_interrupted_is_completed_and_nothing_is_twice(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = (f"sqlite:///{tmp_path / name}.db" for name in ("whole", "broken"))
    finished = finished_run(trained, tmp_path)
    expected, _ = tracked(finished, whole)
    for name in ("log_inputs", "log_batch", "log_artifact", "log_text", "finalize_logged_model", "set_terminated"):
        with monkeypatch.context() as patch:
            # as if the disk were full
            patch.setattr(mlflow.MlflowClient, name, lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
            with pytest.raises(InputError, match=r"No space left"):
                tracked(finished, broken)
    found, client = tracked(finished, broken)
    assert {**found.data.metrics} == {**expected.data.metrics} and found.data.params == expected.data.params
    # MLflow keeps a model that was deleted for a while
    counts = [
        {table: n for table, n in rows(uri).items() if "model" not in table and table != "inputs"} for uri in (broken, whole)
    ]
    assert counts[0] == counts[1]
    assert len(client.search_logged_models([found.info.experiment_id])) == 1


def test_a_writer_that_was_second_writes_again(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another run logs the same sample to a server at the same moment."""
    log_inputs, calls = mlflow.MlflowClient.log_inputs, []

    def second(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) < 3:
            raise MlflowException('(psycopg2.errors.UniqueViolation) duplicate key value violates unique constraint "dataset_pk"')
        log_inputs(*arguments)

    monkeypatch.setattr(mlflow.MlflowClient, "log_inputs", second)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    uri = new_store(tmp_path)
    entry, client = tracked(finished_run(trained, tmp_path), uri)
    assert len(calls) == 3 and len(client.search_runs([entry.info.experiment_id])) == 1
    assert {one.dataset.name for one in entry.inputs.dataset_inputs} == {"background", "signal"}


def test_folds_are_children_of_one_run_with_mean_and_spread(trained: Trained, trained_to_sort: Trained, tmp_path: Path) -> None:
    uri, folds = new_store(tmp_path), [trained, trained_to_sort]
    parent, client = tracked(finished_folds(folds, tmp_path), uri)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", order_by=["attributes.start_time"]
    )
    assert [c.data.tags["cyclotrain.model_sha256"] for c in children] == [file_sha256(t.onnx) for t in folds]
    aucs = [child.data.metrics["auc.background"] for child in children]
    assert parent.data.metrics["auc.background"] == pytest.approx(np.mean(aucs))
    assert parent.data.metrics["spread.auc.background"] == pytest.approx(np.std(aucs, ddof=1))
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["summary.txt"]
    assert "card.md" in {file.path for file in client.list_artifacts(children[0].info.run_id)}
    assert parent.info.run_name == "test" and parent.data.tags["mlflow.note.content"].startswith("2 folds of `deep_sets`")
    counted = rows(uri)
    tracked(finished_folds(folds, tmp_path), uri)
    assert rows(uri) == counted
    # another second fold is another run of the workflow, and the first one keeps its folds
    other, _ = tracked(finished_folds([trained, trained], tmp_path), uri)
    assert other.info.run_id != parent.info.run_id
    assert {run.data.tags.get("mlflow.parentRunId") for run in client.search_runs([parent.info.experiment_id])} == {
        None, parent.info.run_id, other.info.run_id,
    }  # fmt: skip


def test_a_parent_is_failed_if_a_fold_is(trained: Trained, trained_to_sort: Trained, tmp_path: Path) -> None:
    finished = finished_folds([trained, trained_to_sort], tmp_path)
    folder, run = list(finished.models.items())[1]
    models = {**finished.models, folder: replace(run, gates=failing(trained_to_sort))}
    parent, _ = tracked(replace(finished, models=models), new_store(tmp_path))
    assert parent.info.status == "FAILED" and parent.data.tags["gates"].startswith("failed: auc.background")


def test_any_number_of_metrics_and_parameters_is_logged(tmp_path: Path) -> None:
    with opened(new_store(tmp_path)) as client:
        run_id = client.create_run(client.create_experiment("many")).info.run_id
        metrics = [
            mlflow.entities.Metric(f"m{column}", float(column * step), step, step) for step in range(1000) for column in range(20)
        ]
        log(client, run_id, metrics=metrics, params=[mlflow.entities.Param(f"p{i}", str(i)) for i in range(350)])
        assert [point.value for point in client.get_metric_history(run_id, "m7")] == [7.0 * step for step in range(1000)]
        run = client.get_run(run_id)
        assert len(run.data.metrics) == 20 and len(run.data.params) == 350


def test_a_deleted_experiment_is_named_with_its_store_and_how_to_bring_it_back(trained: Trained, tmp_path: Path) -> None:
    uri, finished = f"sqlite:///{tmp_path / 'a store.db'}", finished_run(trained, tmp_path)
    before, client = tracked(finished, uri)
    client.delete_experiment(before.info.experiment_id)
    with pytest.raises(InputError, match=r"'toys' \(id 1\) in 'sqlite:.*a store\.db' was deleted") as raised:
        tracked(finished, uri)
    assert f"MLFLOW_TRACKING_URI='{uri}' mlflow experiments restore --experiment-id 1\n" in str(raised.value)
    client.restore_experiment(before.info.experiment_id)
    after, _ = tracked(finished, uri)
    assert after.info.run_id == before.info.run_id


def test_a_run_that_was_deleted_is_made_anew(trained: Trained, store: str, tmp_path: Path) -> None:
    finished = finished_run(trained, tmp_path)
    before, client = tracked(finished, store)
    client.delete_run(before.info.run_id)
    after, _ = tracked(finished, store)
    assert after.info.run_id != before.info.run_id and after.data.metrics == before.data.metrics


def test_a_store_that_cannot_be_used_is_named(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    finished = finished_run(trained, tmp_path)
    with pytest.raises(InputError, match=r"tracking\.uri: MLflow's store 'http://127\.0\.0\.1:9' cannot be used.*refused"):
        tracked(finished, "http://127.0.0.1:9")
    (tmp_path / "broken.db").write_text("no database" * 1000)
    with pytest.raises(InputError, match=r"tracking\.uri: MLflow's store 'sqlite:.*broken\.db' cannot be used.*not a database"):
        tracked(finished, f"sqlite:///{tmp_path / 'broken.db'}")


def test_a_store_that_is_read_only_is_named(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow makes a folder `file:` there
    tracked(finished_run(trained, tmp_path), new_store(tmp_path))
    read_only = f"sqlite:///file:{tmp_path / 'mlflow.db'}?mode=ro&uri=true"
    with pytest.raises(InputError, match=r"tracking\.uri: .*mode=ro&uri=true' cannot be used\. It is read-only\. Make it"):
        tracked(finished_run(trained, tmp_path, failing(trained)), read_only)


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        ("ffff00000000", f"A newer MLflow than {mlflow.__version__}, which is installed here, has written it"),
        ("0584bdc529eb", "An older MLflow has written it"),
    ],
)
def test_a_store_of_another_mlflow_is_named(trained: Trained, tmp_path: Path, schema: str, advice: str) -> None:
    mlflow.MlflowClient(new_store(tmp_path)).search_experiments()
    other = tmp_path / "other.db"  # MLflow keeps a store that it has opened
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = ?", (schema,))
    (tmp_path / "mlflow.db").rename(other)
    with pytest.raises(InputError, match=rf"tracking\.uri: .*other\.db' cannot be used\. {advice}"):
        tracked(finished_run(trained, tmp_path), f"sqlite:///{other}")


def test_weights_and_file_of_a_registered_model_are_fetched_by_its_alias(trained: Trained, store: str, tmp_path: Path) -> None:
    entry, client = tracked(finished_run(trained, tmp_path), store)
    (model,) = client.search_logged_models([entry.info.experiment_id], f"source_run_id = '{entry.info.run_id}'")
    version = mlflow.register_model(f"models:/{model.model_id}", "tagger").version
    client.set_registered_model_alias("tagger", "best", version)
    for name in ("models:/tagger@best", f"models:/tagger/{version}"):
        fetch_weights(name, uri=store, path=tmp_path / "weights.pt")
        assert file_sha256(tmp_path / "weights.pt") == file_sha256(trained.weights)
        fetch_registered(name, key="compare.old", uri=store, path=tmp_path / "old.onnx")
        assert contract_of_model("old", tmp_path / "old.onnx") == trained.contract
    with pytest.raises(InputError, match=r"training.initial_weights: 'models:/tagger@worst' is not in MLflow's store 'sqlite"):
        fetch_weights("models:/tagger@worst", uri=store, path=tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"compare.old: 'models:/tagger@worst' is not in MLflow's store 'sqlite"):
        fetch_registered("models:/tagger@worst", key="compare.old", uri=store, path=tmp_path / "old.onnx")


def seed_run(trained: Trained, uri: str, folder: Path, **config: Any) -> Path:
    """The folder of a tracked run whose model is the same, and whose name and seed are others."""
    folder.mkdir(exist_ok=True)
    finished = finished_run(trained, folder, **config)
    run = replace(finished.models[folder], contract=replace(trained.contract, run=config["run"]))
    address = track(replace(finished, models={folder: run}), tracking=TrackingConfig(uri=uri, experiment="toys"))
    write_json(folder / "mlflow_run.json", address)
    return folder


def test_runs_of_several_seeds_are_children_of_one_run_with_mean_and_spread(
    trained: Trained, trained_to_sort: Trained, tmp_path: Path
) -> None:
    uri = new_store(tmp_path)
    models, config = (trained, trained_to_sort, trained), trained.config.model_dump()
    folders = [seed_run(m, uri, tmp_path / f"s{i}", **config | {"run": f"s{i}", "seed": i}) for i, m in enumerate(models, 1)]
    parent_id = gather(folders[:2])
    client = mlflow.MlflowClient(uri)
    parent = client.get_run(parent_id)
    aucs = [model.run().figures()["auc.background"].value for model in models[:2]]
    assert parent.info.run_name == "s1 seeds" and parent.info.status == "FINISHED"
    assert parent.data.metrics["auc.background"] == pytest.approx(np.mean(aucs))
    assert parent.data.metrics["spread.auc.background"] == pytest.approx(np.std(aucs, ddof=1))
    assert "training/validation_loss" not in parent.data.metrics
    assert parent.data.params["training.epochs"] == "3" and "seed" not in parent.data.params
    counted = rows(uri)
    assert gather(folders[:2]) == parent_id and rows(uri) == counted
    assert gather(folders[2:]) == parent_id
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent_id}'")
    assert {child.info.run_name for child in children} == {"s1", "s2", "s3"}
    assert "3 trainings of one config with the seeds 1, 2, 3" in client.get_run(parent_id).data.tags["mlflow.note.content"]
    # tracked again, a run keeps its parent
    seed_run(trained, uri, tmp_path / "s1", **config | {"run": "s1", "seed": 1})
    assert len(client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent_id}'")) == 3


def test_runs_that_are_not_seeds_of_one_config_are_not_gathered(trained: Trained, tmp_path: Path) -> None:
    config = trained.config.model_dump()
    one = seed_run(trained, new_store(tmp_path), tmp_path / "one", **config | {"run": "one"})
    other = seed_run(trained, new_store(tmp_path), tmp_path / "other", **config | {"run": "other", "balance": "none"})
    with pytest.raises(InputError, match="differ in more than the seed"):
        gather([one, other])
    elsewhere = seed_run(trained, f"sqlite:///{tmp_path / 'b.db'}", tmp_path / "elsewhere", **config | {"run": "elsewhere"})
    with pytest.raises(InputError, match="are in different stores or experiments"):
        gather([one, elsewhere])
    with pytest.raises(InputError, match=r"'.*nothing' is no finished run: it has no mlflow_run\.json"):
        gather([tmp_path / "nothing"])


def test_the_python_of_docs_tracking_md_predicts(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finished = finished_run(trained, tmp_path)
    track(finished, tracking=TrackingConfig())
    page = REPOSITORY / "docs/tracking.md"
    (block,) = (block for block in blocks(page) if block.language == "python")
    session: dict[str, Any] = {}
    type_block(block, page, session, is_compared=False)
    assert session["predictor"].predict(session["predictor"].input_example)["probabilities"].shape == (3, 2)
