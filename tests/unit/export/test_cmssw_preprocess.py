"""The network without its features behind a preprocess.json, as CMSSW's ParticleNetConstructor uses it."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cyclotrain.config import ConfigError, load
from cyclotrain.export.cmssw_preprocess import prepare
from cyclotrain.export.to_onnx import export_network
from cyclotrain.parity.artefacts import Artefact
from support.toys import raw_config
from support.trained import Trained

NAME = "network"


@pytest.fixture(scope="module")
def network(trained: Trained) -> Artefact:
    paths = [trained.folder / "alone.onnx", trained.folder / "alone.json"]
    export_network(trained.model, targets=trained.config.export.targets, path=paths[0], preprocess=paths[1])
    return Artefact(NAME, str(paths[0]), 1e-5, str(paths[1]))


def test_it_gives_the_models_numbers_on_every_case(trained: Trained, network: Artefact) -> None:
    result = trained.verify(others=[network])
    assert result.passed, result.failures
    sessions = result.sessions(NAME)
    assert sessions and all(session.max_abs_all_cases <= 1e-5 and session.cases > 70 for session in sessions)


@pytest.mark.parametrize("key", ["norm_factor", "replace_inf_value"])
def test_a_wrong_preprocess_json_is_caught(key: str, trained: Trained, network: Artefact, tmp_path: Path) -> None:
    assert network.preprocess
    preprocess = json.loads(Path(network.preprocess).read_text())
    info = preprocess["pf"]["var_infos"]["log(pf_pt / jet_pt)"]
    info[key] += 0.5
    (tmp_path / "wrong.json").write_text(json.dumps(preprocess))
    result = trained.verify(others=[Artefact(NAME, network.path, 1e-5, str(tmp_path / "wrong.json"))])
    assert not result.passed
    assert {failure.artefact for failure in result.failures} == {NAME}


def by_hand(values: list[float], info: dict[str, float], low: int, high: int) -> list[float]:
    """catch_infs and center_norm_pad of RecoBTag/FeatureTools/src/deep_helpers.cc, value by value in float32."""
    f = np.float32
    target = min(max(len(values), low), high)
    out = []
    for i in range(target):
        if i >= len(values):
            out.append(f(info["pad"]))
            continue
        x = f(values[i])
        if not math.isfinite(x) or x < -1e32 or x > 1e32:
            x = f(info["replace_inf_value"])
        scaled = (x - f(info["median"])) * f(info["norm_factor"])
        out.append(min(max(scaled, f(info["lower_bound"])), f(info["upper_bound"])))
    return out


NUMBERS = st.one_of(st.floats(width=32), st.sampled_from([math.nan, math.inf, -math.inf, 1e33, -1e33, 0.0]))


@given(values=st.lists(NUMBERS, max_size=8), median=st.floats(-10, 10), norm=st.floats(0.1, 10), high=st.integers(1, 6))
def test_the_order_of_operations_is_that_of_cmssw(values: list[float], median: float, norm: float, high: int) -> None:
    info = {"median": median, "norm_factor": norm, "replace_inf_value": 1.5, "lower_bound": -5, "upper_bound": 5, "pad": 0.25}
    one = {"median": 0, "norm_factor": 1, "replace_inf_value": 0, "lower_bound": 0, "upper_bound": 1, "pad": 0}
    preprocess: dict[str, Any] = {
        "input_names": ["pf", "pf_mask"],
        "pf": {"var_names": ["x"], "var_infos": {"x": info}, "min_length": 1, "max_length": high},
        "pf_mask": {"var_names": ["pf_mask"], "var_infos": {"pf_mask": one}, "min_length": 1, "max_length": high},
    }
    padded = np.array([[[*values, 0.0]]], np.float32)
    mask = np.array([[[1.0] * len(values) + [0.0]]], np.float32)
    prepared = prepare(preprocess, {"pf": padded, "pf_mask": mask})
    np.testing.assert_array_equal(prepared["pf"][0, 0], by_hand(values, info, 1, high))
    np.testing.assert_array_equal(prepared["pf_mask"][0, 0], by_hand([1.0] * len(values), one, 1, high))


def test_what_a_preprocess_json_cannot_express_is_refused_before_any_job(toy_files: dict[str, str]) -> None:
    def refused(**changes: Any) -> str:
        with pytest.raises(ConfigError) as error:
            load(raw_config(toy_files, **{"export": {"preprocess_json": True}, **changes}))
        return str(error.value)

    pf = {"max_length": 8, "valid": "pf_pt > 0", "features": ["pf_pt"]}
    assert "the feature 'pf_pt' is in inputs.pf and in inputs.again" in refused(inputs={"pf": pf, "again": pf})
    named = {"pf": pf, "pf_mask": {"features": ["jet_pt"]}}
    assert "inputs.pf_mask: export.preprocess_json needs this name" in refused(inputs=named)
    assert "none of the targets is a CMSSW release" in refused(export={"preprocess_json": True, "targets": ["triton_25.03"]})
