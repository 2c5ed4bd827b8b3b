"""Names of figures as names of MLflow's metrics."""

import pytest
from mlflow.utils.validation import _validate_metric_name

from cyclotrain.tracking.store import metric_name

NAMES = [
    "auc.qcd", "rejection.qcd.at_0.5", "data_chi2_p_value.jet.log(jet_pt)", "data_chi2_p_value.jet.jet_tau2 / jet_tau1",
    "data_chi2_p_value.jet.jet_tau2 * jet_tau1", "data_chi2_p_value.pf.where(a > 0, tanh(0.2 * a / b), 0)",
    "data_chi2_p_value.pf." + " + ".join(["pf_pt"] * 100), "data_chi2_p_value.pf." + " - ".join(["pf_pt"] * 100),
    "data_chi2_p_value.pf.//a/../b", "data_ks_p_value.score.µ", "spread.data_ks_p_value.jet.abs(jet_eta)",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_mlflow_takes_each_name_and_plain_ones_stay_as_they_are(name: str) -> None:
    _validate_metric_name(metric_name(name))
    assert len(metric_name(name)) <= 250
    if "(" not in name and "/" not in name and "*" not in name and len(name) < 200:
        assert metric_name(name) == name


def test_names_that_differ_in_signs_stay_different() -> None:
    assert len({metric_name(name) for name in NAMES}) == len(NAMES)
