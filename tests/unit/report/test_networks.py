"""The comparison of networks, and the figures over seeds, from real results."""

import pytest
import yaml

from cyclotrain.config import load
from cyclotrain.config.networks import BUILT_IN
from cyclotrain.contract.results import BOOSTED_TREES, MODEL, Evaluation
from cyclotrain.report.networks import configs, table
from cyclotrain.report.summary import gain_table, mean_gain
from support import REPOSITORY
from support.trained import Trained


def test_every_built_in_network_is_compared_on_the_jets_of_the_demo() -> None:
    demo = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
    loaded = {variant: load(raw) for variant, raw in configs()}
    assert {config.model.name for config in loaded.values()} == set(BUILT_IN)
    for config in loaded.values():
        assert config.run.startswith("demo-") and list(config.samples) == list(demo["samples"])
        assert {name: sample.files for name, sample in config.samples.items()} == {
            name: [f"results/demo/ntuples/{name}/*.root"] for name in demo["samples"]
        }
        assert config.samples["qcd_test"].split == "test" and config.training == loaded["transformer"].training


def test_a_row_has_the_figures_of_its_run(trained: Trained) -> None:
    run = trained.run()
    (trained.folder / "train").mkdir(exist_ok=True)
    (trained.folder / "train/history.jsonl").write_bytes((trained.folder / "history.jsonl").read_bytes())
    head, _, row = table({"deep_sets": trained.folder}).splitlines()
    cells = dict(zip(head.strip("| ").split(" | "), row.strip("| ").split(" | "), strict=True))
    auc = run.evaluation.performance[MODEL]["background"].auc
    assert cells["network"] == "`deep_sets`" and cells["AUC"] == f"{auc.value:.4f} ± {auc.uncertainty:.4f}"
    assert cells["parity, test"] == f"{run.verification.max_abs:.1e}" and cells["latency"].endswith(" ms")


@pytest.mark.parametrize("is_left", [True, False])
def test_the_gain_over_the_trees_is_the_ratio_of_the_means(is_left: bool, trained: Trained) -> None:
    evaluation = trained.run().evaluation

    def with_rejection(model: float | None, trees: float) -> Evaluation:
        performance = {}
        for scorer, value in ((MODEL, model), (BOOSTED_TREES, trees)):
            figures = evaluation.performance[scorer]["background"]
            point = figures.rejection[0]
            first = point.model_copy(update={"rejection": point.rejection.model_copy(update={"value": value})})
            performance[scorer] = {"background": figures.model_copy(update={"rejection": (first, *figures.rejection[1:])})}
        return evaluation.model_copy(update={"performance": performance})

    seeds = [with_rejection(300.0, 100.0), with_rejection(100.0 if is_left else None, 60.0)]
    assert mean_gain(seeds, "background", 0) == (2.5 if is_left else None)
    line = gain_table(seeds)[1]
    assert line.split() == [
        "1/ε(background)",
        "at",
        "ε(signal)",
        "=",
        "30%",
        *(["2.5"] if is_left else ["no", "background", "left"]),
    ]
