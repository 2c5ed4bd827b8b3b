"""The typed results: their files, and the names of their figures."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cyclotrain.contract.results import Curves, Dataset, Evaluation, Gate, Gates, Timing, Verification, area_mark
from cyclotrain.contract.run import Run
from support.trained import Trained

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.builds(Gate, name=st.text(), value=FLOATS, limit=st.text(), passed=st.booleans(), message=st.text())))
def test_a_result_is_the_same_after_a_file(tmp_path_factory: pytest.TempPathFactory, gates: list[Gate]) -> None:
    path = tmp_path_factory.mktemp("gates") / "gates.json"
    result = Gates(gates=tuple(gates))
    result.write(path)
    assert Gates.read(path) == result
    assert result.passed == all(gate.passed for gate in gates)


def test_every_result_of_a_run_reads_what_it_wrote(trained: Trained, tmp_path: Path) -> None:
    run = trained.run()
    results = [run.dataset, run.verification, run.evaluation, run.timing, Curves.read(run.files["curves"])]
    for result in results:
        result.write(tmp_path / "copy.json")
        assert type(result).read(tmp_path / "copy.json") == result
    run.history.write(tmp_path / "history.jsonl")
    assert (tmp_path / "history.jsonl").read_text() == run.files["history"].read_text()


def test_a_file_with_another_key_is_refused(trained: Trained, tmp_path: Path) -> None:
    run = trained.run()
    for kind, name in ((Dataset, "dataset"), (Verification, "verification"), (Evaluation, "evaluation"), (Timing, "timing")):
        text = run.files[name].read_text()
        (tmp_path / "other.json").write_text(text.replace("{", '{"surprise": 1,', 1))
        with pytest.raises(ValidationError, match="surprise"):
            kind.read(tmp_path / "other.json")


def test_a_result_cannot_be_changed(trained: Trained) -> None:
    run: Run = trained.run()
    with pytest.raises(ValidationError, match="frozen"):
        run.evaluation.signal = "background"


def test_the_kept_epoch_is_the_one_with_the_lowest_validation_loss(trained: Trained) -> None:
    history = trained.run().history
    assert history.kept.validation_loss == min(epoch.validation_loss for epoch in history.epochs)


def test_an_area_is_marked_where_it_is_outside_and_not_for_its_rounding() -> None:
    areas = {1.02: "†", -0.01: "†", 1.0: "", 0.0: "", 1 + 2e-16: "", 0.5: "", 1e300: "†"}
    assert {area: area_mark(area) for area in areas} == areas
    gate = Gate(name="auc.qcd", value=1.02, limit=">= 0.9", passed=True)
    assert str(gate) == "auc.qcd = 1.02†, required >= 0.9"
    assert "†" not in str(gate.model_copy(update={"name": "rejection.qcd.at_0.3", "value": 251.0}))
