"""The gates on figures: bounds in the config, the figures that they are of, and the list of figures."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.__main__ import main
from cyclotrain.config import ConfigError, load
from cyclotrain.config.gates import bounds_of, names
from cyclotrain.contract.figures import Bound, fitting
from cyclotrain.contract.results import Figure, Verification
from cyclotrain.gates.judge import judge
from support.toys import raw_config, with_regression
from support.trained import Trained

VERIFICATION = Verification.model_construct(matrix=(), failures=())
FIGURES = {
    "auc.qcd": Figure(value=0.9, uncertainty=0.01),
    "auc.w": Figure(value=0.6, uncertainty=0.02),
    "auc.qcd.fp16": Figure(value=0.5),
    "rejection.qcd.at_0.3": Figure(value=None),
    "bias.mass": Figure(value=-0.2),
    "latency_ms.p99": Figure(value=0.3),
}
FILES = {"background": "b.root", "signal": "s.root"}


def verdicts(**bounds: list[str]) -> list[str]:
    """The verdicts in words, each with whether it passed; `__` stands for a point, `any` for a star."""
    given = {name.replace("__", ".").replace("any", "*"): texts for name, texts in bounds.items()}
    return [f"{gate.passed}: {gate}" for gate in judge(VERIFICATION, FIGURES, bounds=given, rejection_losses={}).gates]


def test_a_star_stands_for_every_background_of_the_model() -> None:
    assert verdicts(auc__any=[">= 0.7"]) == [
        "True: auc.qcd = 0.9 ± 0.01, required >= 0.7", "False: auc.w = 0.6 ± 0.02, required >= 0.7; the limit is gates.auc.*",
    ]  # fmt: skip


def test_a_figure_has_an_upper_limit_two_limits_or_one_of_its_size() -> None:
    assert verdicts(latency_ms__p99=["<= 0.3"]) == ["True: latency_ms.p99 = 0.3, required <= 0.3"]
    assert [words[:5] for words in verdicts(auc__qcd=[">= 0.5", "<= 0.8"])] == ["True:", "False"]
    assert [words[:5] for words in verdicts(bias__mass=["absolute <= 0.1", "absolute <= 0.2"])] == ["False", "True:"]


def test_a_figure_that_nothing_is_left_to_measure_fails() -> None:
    (words,) = verdicts(rejection__qcd__any=[">= 10"])
    assert words.startswith("False: rejection.qcd.at_0.3 = no value, required >= 10; there was nothing to measure it with")


def test_a_figure_that_the_run_did_not_measure_fails() -> None:
    assert verdicts(auc__top=[">= 0.1"])[0].startswith("False: auc.top = no value, required >= 0.1")


@given(st.sampled_from([">=", "<=", "absolute <="]), st.floats(allow_nan=False, allow_infinity=False))
def test_a_bound_holds_as_it_is_read_and_the_limit_itself_passes(relation: str, limit: float) -> None:
    bound = Bound.parse(f" {relation}{limit!r}")
    assert bound.limit == limit and bound.relation == relation
    assert bound.holds(limit) or (relation == "absolute <=" and limit < 0)


def test_a_model_that_is_not_worse_than_another_passes_within_the_larger_uncertainty() -> None:
    figures = {
        "auc.qcd": Figure(value=0.90, uncertainty=0.01),
        "auc.qcd.old": Figure(value=0.92, uncertainty=0.03),
        "auc.w": Figure(value=0.90, uncertainty=0.01),
        "auc.w.old": Figure(value=0.92, uncertainty=0.005),
        "rejection.qcd.at_0.5": Figure(value=900.0, uncertainty=90.0),
        "rejection.qcd.at_0.5.old": Figure(value=None),
    }
    bounds = {"auc.*": ["not_worse_than old"], "rejection.qcd.at_0.5": ["not_worse_than old"]}
    near, far, infinite = judge(VERIFICATION, figures, bounds=bounds, rejection_losses={}).gates
    assert near.passed and near.limit == "not worse than old (0.89 with its uncertainty)"
    assert not far.passed and far.limit == "not worse than old (0.91 with its uncertainty)"
    assert not infinite.passed  # the old model lets no background pass


def test_an_earlier_model_is_named_in_a_gate_by_its_name_or_its_address() -> None:
    compare = {"old": "models:/tagger@champion"}
    gates = {"auc.*": "not_worse_than models:/tagger@champion", "accuracy": ["not_worse_than boosted_trees", ">= 0.5"]}
    bounds = bounds_of(load(raw_config(FILES, compare=compare, gates=gates)))
    assert bounds == {"auc.*": ["not_worse_than old"], "accuracy": ["not_worse_than boosted_trees", ">= 0.5"]}


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"auc.backgrund": ">= 0.9"}, "gates.auc.backgrund: this run measures no such figure; did you mean 'auc.background'?"),
        ({"auc.signal": ">= 0.9"}, "gates.auc.signal: this run measures no such figure"),
        ({"rejection.background.at_0.4": ">= 9"}, "did you mean 'rejection.background.at_0.5'?"),
        ({"gain.fp16.*": ">= 1"}, "gates.gain.fp16.*: this run measures no such figure"),
        ({"auc.*": 0.9}, "gates.auc.*: 0.9 is no bound; write '>= 0.9' or '<= 0.9', in quotes"),
        ({"auc.*": "> 0.9"}, "gates.auc.*: '> 0.9' is no bound; write '>= 0.97', '<= 1', 'absolute <= 0.1' or"),
        ({"auc.*": "not_worse_than boosted_tree"}, "is not measured for 'boosted_tree'; did you mean 'boosted_trees'?"),
        ({"ks_p_value.*": "not_worse_than boosted_trees"}, "'ks_p_value.background' is not measured for 'boosted_trees'"),
        ({"auc.*": ">= nan"}, "'>= nan' is no bound"),
        ({"auc.*": []}, "gates.auc.*: value should have at least 1 item"),
    ],
)  # fmt: skip
def test_a_wrong_gate_is_named_with_the_fix(gates: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(raw_config(FILES, gates=gates))
    assert message in str(error.value)


def test_the_names_are_those_of_the_figures_that_a_run_measures(trained_to_regress: Trained) -> None:
    run = trained_to_regress.run()
    of_runtimes = fitting("parity.*.onnxruntime_*.*", run.figures()) + fitting("parity.*.onnxruntime_*", run.figures())
    assert of_runtimes and set(names(trained_to_regress.config)) == run.figures().keys() - set(of_runtimes)


def test_the_names_with_variants_and_without_classes_or_trees() -> None:
    raw = with_regression(raw_config(FILES, export={"variants": {"fp16": {}}, "preprocess_json": True}))
    known = set(names(load(raw)))
    assert {"auc.background.fp16", "bias.far.fp16", "rejection_loss.fp16", "parity.fp16", "gain.fp16.size"} <= known
    assert "parity.network" in known
    constituents_alone = raw_config(FILES)
    del constituents_alone["inputs"]["jet"]
    assert not [name for name in names(load(constituents_alone)) if "boosted_trees" in name]


def test_the_figures_of_a_config_are_listed_with_their_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(raw_config(FILES, gates={"auc.*": ">= 0.9", "latency_ms.p99": "<= 1"})))
    assert main(["figures", str(path)]) == 0
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert lines["auc.background"] == [">=", "0.9"] and lines["latency_ms.p99"] == ["<=", "1"] and lines["latency_ms.p50"] == []
    path.write_text("run: [")
    assert main(["figures", str(path)]) == 1
    assert main(["figures", str(tmp_path / "none.yaml")]) == 1
