"""Thresholds of the score in files, read back as an analysis reads them, with the package correctionlib."""

import json
import logging
from pathlib import Path
from typing import Any

import correctionlib
import numpy as np
import pytest

from cyclotrain.config import EvaluationConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.results import MODEL, Evaluation
from cyclotrain.deploy.bundle import Parts, bundle
from cyclotrain.evaluation.performance import measure
from cyclotrain.evaluation.predictions import Predictions
from cyclotrain.evaluation.threshold_files import write_thresholds
from support import REPOSITORY
from support.pages import blocks
from support.scored import contract_of, stored
from support.trained import Trained

MISTAG = {"loose": 0.2, "tight": 0.05}


def evaluated(predictions: Predictions, contract: Contract, **settings: Any) -> Evaluation:
    parts = measure(predictions, contract, EvaluationConfig(**settings), variants=())
    return Evaluation(
        model_sha256="abc", test_examples=len(predictions), signal=contract.signal, rejection_loss={}, overtraining={},
        **parts.evaluation,
    )  # fmt: skip


def written(evaluation: Evaluation, contract: Contract, folder: Path) -> tuple[dict[str, Any], Any]:
    paths = folder / "thresholds.json", folder / "correctionlib.json"
    write_thresholds(evaluation, contract, path=paths[0], correctionlib=paths[1])
    return json.loads(paths[0].read_text()), correctionlib.CorrectionSet.from_file(str(paths[1]))


def test_correctionlib_gives_the_thresholds_that_keep_the_declared_share(tmp_path: Path) -> None:
    contract = contract_of(("qcd", "top"))
    predictions = stored(contract, tmp_path, n=8000)
    settings = {"working_points": {"mistag": MISTAG, "observer": "jet_pt"}}
    plain, corrections = written(evaluated(predictions, contract, **settings), contract, tmp_path)
    test = predictions.whole()
    score, background = test.probabilities(MODEL)[:, 1], test.label == 0
    for name, mistag in MISTAG.items():
        kept = score[background] >= corrections["top_vs_qcd"].evaluate(name)
        weight = test.weight[background]
        assert weight[kept].sum() / weight.sum() == pytest.approx(mistag, abs=0.003)
        # in bins, with one call for all examples
        pt = test.observer("jet_pt").astype(np.float64)
        thresholds = corrections["top_vs_qcd_by_jet_pt"].evaluate(name, pt[background])
        kept = score[background] >= thresholds
        assert weight[kept].sum() / weight.sum() == pytest.approx(mistag, abs=0.01)
        assert len(set(thresholds.tolist())) == 10
    (entry,) = plain["scores"]
    assert entry["score"] == "p(top) / (p(top) + p(qcd)), p from the output 'probabilities'"
    assert entry["observer"] == {"name": "jet_pt", "expression": "jet_pt"} and len(entry["in_bins"]) == 20
    assert entry["working_points"][0]["threshold"] == corrections["top_vs_qcd"].evaluate("loose")


def test_a_value_outside_of_the_bins_counts_to_the_nearest(tmp_path: Path) -> None:
    contract = contract_of(("qcd", "top"))
    settings = {"bins": {"jet_pt": [500, 600, 900]}, "working_points": {"mistag": MISTAG, "observer": "jet_pt"}}
    _, corrections = written(evaluated(stored(contract, tmp_path, n=8000), contract, **settings), contract, tmp_path)
    by_pt = corrections["top_vs_qcd_by_jet_pt"]
    assert by_pt.evaluate("loose", 10.0) == by_pt.evaluate("loose", 550.0) != by_pt.evaluate("loose", 700.0)
    assert by_pt.evaluate("loose", 5000.0) == by_pt.evaluate("loose", 700.0)


def test_each_background_and_the_rest_have_thresholds(tmp_path: Path) -> None:
    contract = contract_of(("qcd", "w", "top"))
    plain, corrections = written(evaluated(stored(contract, tmp_path), contract), contract, tmp_path)
    assert [entry["name"] for entry in plain["scores"]] == ["top_vs_qcd", "top_vs_w", "top_vs_rest"]
    assert plain["scores"][2]["score"].startswith("p(top) / (p(top) + p(qcd) + p(w))")
    assert 0 < corrections["top_vs_rest"].evaluate("loose") < 1


def test_a_working_point_that_is_not_measured_cannot_be_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    contract = contract_of(("qcd", "top"))
    settings = {"working_points": {"mistag": {"loose": 0.1, "hopeless": 1e-6}}}
    with caplog.at_level(logging.WARNING):
        plain, corrections = written(evaluated(stored(contract, tmp_path), contract, **settings), contract, tmp_path)
    assert "top_vs_qcd: hopeless not measured: too few background examples" in caplog.text
    assert plain["scores"][0]["working_points"][1]["threshold"] is None
    with pytest.raises(IndexError):
        corrections["top_vs_qcd"].evaluate("hopeless")


def test_a_correction_says_what_it_takes_and_what_the_score_is(tmp_path: Path) -> None:
    contract = contract_of(("qcd", "top"))
    _, corrections = written(evaluated(stored(contract, tmp_path), contract), contract, tmp_path)
    correction = corrections["top_vs_qcd"]
    assert [variable.name for variable in correction.inputs] == ["working_point"] and correction.output.name == "threshold"
    assert "p(top) / (p(top) + p(qcd))" in correction.description and "loose 0.1, medium 0.01" in correction.description


def test_the_lines_in_docs_performance_md_tag_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = contract_of(("qcd", "top"))
    predictions = stored(contract, tmp_path, n=8000)
    settings = {"working_points": {"mistag": MISTAG, "observer": "jet_pt"}}
    (tmp_path / "working_points").mkdir()
    written(evaluated(predictions, contract, **settings), contract, tmp_path / "working_points")
    monkeypatch.chdir(tmp_path)
    test = predictions.whole()
    p_qcd, p_top = test.probabilities(MODEL).T
    values = {"jet_pt": test.observer("jet_pt").astype(np.float64), "p_qcd": p_qcd, "p_top": p_top}
    (block,) = (one for one in blocks(REPOSITORY / "docs/performance.md") if one.language == "python")
    exec(block.code, values)
    background = test.label == 0
    share = test.weight[background & values["is_tagged"]].sum() / test.weight[background].sum()
    assert share == pytest.approx(MISTAG["loose"], abs=0.02)


def test_the_bundle_has_the_thresholds_and_says_so(trained: Trained, tmp_path: Path) -> None:
    evaluation = trained.run().evaluation
    written(evaluation, trained.contract, tmp_path)
    files = [tmp_path / name for name in ("thresholds.json", "correctionlib.json")]
    (tmp_path / "reference").mkdir()
    parts = Parts({"onnx": trained.onnx}, tmp_path / "reference", [], [], working_points=files)
    bundle(trained.contract, ["cpp"], parts, tmp_path / "deploy")
    for file in files:
        assert (tmp_path / "deploy/working_points" / file.name).read_bytes() == file.read_bytes()
        assert f"working_points/{file.name}" in (tmp_path / "deploy/SHA256SUMS").read_text()
    assert "| `working_points/` | analyses: thresholds" in (tmp_path / "deploy/README.md").read_text()
