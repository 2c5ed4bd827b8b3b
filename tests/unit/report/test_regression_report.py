"""Card, summary and plots of regressed quantities, beside classes and alone."""

import re
from pathlib import Path

import pytest

from cyclotrain.contract.results import MODEL
from cyclotrain.contract.run import Run
from cyclotrain.report.card import About, card
from cyclotrain.report.plots.draw import draw
from cyclotrain.report.plots.regression import _in_bins
from cyclotrain.report.plots.style import figure
from cyclotrain.report.summary import spread_table, summary
from support.trained import Trained


@pytest.fixture(scope="module", params=["trained_to_regress", "trained_without_classes"])
def run(request: pytest.FixtureRequest) -> Run:
    trained: Trained = request.getfixturevalue(request.param)
    return trained.run()


def test_the_response_of_a_quantity_is_drawn(run: Run, tmp_path: Path) -> None:
    results = {name: run.files[name] for name in ("evaluation", "curves")}
    for quantity in run.contract.regression[1:]:
        path = tmp_path / f"{quantity.name}.svg"
        draw("regression.response", results, [path], quantity=quantity.name)
        assert f"<!-- {quantity.name}: estimate" in (text := path.read_text())
        assert all(f"<!-- {variable} -->" in text for variable in quantity.against)


def test_quantiles_without_the_median_show_their_coverage(run: Run, tmp_path: Path) -> None:
    ratio = run.evaluation.regression[MODEL]["ratio"].model_copy(update={"bias": None, "resolution": None, "against": {}})
    evaluation = run.evaluation.model_copy(update={"regression": {MODEL: {"ratio": ratio}}})
    evaluation.write(tmp_path / "evaluation.json")
    results = {"evaluation": tmp_path / "evaluation.json", "curves": run.files["curves"]}
    draw("regression.response", results, [tmp_path / "ratio.svg"], quantity="ratio")
    assert "<!-- Share of targets below -->" in (tmp_path / "ratio.svg").read_text()


@pytest.mark.parametrize("kept", [(), (0,), (0, 2)])
def test_bins_that_are_missing_are_not_drawn_over(kept: tuple[int, ...], run: Run) -> None:
    quantity = next(quantity for quantity in run.contract.regression if quantity.against)
    figures = run.evaluation.regression[MODEL][quantity.name]
    variable = quantity.against[0]
    bins = tuple(figures.against[variable][index] for index in kept)
    with figure([]) as axes:
        _in_bins(axes, figures.model_copy(update={"against": {variable: bins}}), variable)
        bands = [(band.get_x(), band.get_x() + band.get_width()) for band in axes.patches]
        assert bands == [(part.low, pytest.approx(part.high)) for part in bins]
        assert ("no bins" in "".join(text.get_text() for text in axes.texts)) == (not bins)


def test_the_loss_of_each_output_is_drawn(run: Run, tmp_path: Path) -> None:
    draw("training.loss", {"history": run.files["history"]}, [tmp_path / "loss.svg"])
    text = (tmp_path / "loss.svg").read_text()
    assert all(f"<!-- validation, {output.name} -->" in text for output in run.contract.outputs)
    assert "<!-- Weighted loss -->" in text


def test_card_and_summary_tell_of_the_quantities(run: Run) -> None:
    page = card(run, About("Toys.", None, {"epochs": 3}), {})
    words = summary(run, card="card.html", bundle="deploy", consumers=["cpp"])
    has_classes = bool(run.contract.classes)
    for text in (page.markdown, words):
        for name, quantity in run.evaluation.regression[MODEL].items():
            assert name in text and quantity.bias and f"{quantity.bias.value:.4g}" in text
        assert ("AUC" in text) == has_classes
    assert "`1e4 * jet_pt`" in page.markdown and "`[batch, 3]` | ratio_q16, ratio_q50, ratio_q84" in page.markdown
    assert ("`probabilities`" in page.markdown) == has_classes
    kind = "classifier of background, signal, and regression of" if has_classes else "regression of"
    assert f"| Kind | {kind} true_mass, far, ratio; network" in page.markdown
    assert ("1,200 examples" in words) == (not has_classes) == ("(raw branches in, regressed quantities out)" in words)
    assert page.html.count("<table>") == len(re.findall(r"^\|[-|]+\|$", page.markdown, re.MULTILINE))
    assert "<p>|" not in page.html


def test_the_spread_over_trainings_has_the_quantities(run: Run) -> None:
    table = "\n".join(spread_table([run.evaluation, run.evaluation], "each fold"))
    assert "bias of far" in table and "resolution of true_mass" in table
