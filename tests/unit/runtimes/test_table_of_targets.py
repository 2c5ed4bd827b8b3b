"""What each target runs: the table, and the releases between its entries."""

import json
import re

import pytest

from cyclotrain.__main__ import main
from cyclotrain.config import Config
from cyclotrain.runtimes.targets import RELEASES, RUNTIMES, release_of, settings_for


@pytest.mark.parametrize(
    ("target", "onnxruntime", "libtorch"),
    [
        ("CMSSW_13_3_X", "1.14.1", None),
        ("CMSSW_14_2_0_pre1", "1.17.1", "2.4.0"),
        ("CMSSW_15_1_0", "1.20.1", "2.6.0"),
        ("CMSSW_16_1_X", "1.20.1", "2.6.0"),
        ("CMSSW_20_0_X", "1.25.1", "2.10.0"),
        ("CMSSW_20_1_X", "1.26.0", "2.12.1"),
        ("triton_26.06", "1.24.4", None),
    ],
)
def test_a_target_has_the_versions_of_the_newest_entry_that_is_not_newer(
    target: str, onnxruntime: str, libtorch: str | None
) -> None:
    release = release_of(target)
    assert (release.runtime.version, release.libtorch) == (onnxruntime, libtorch)


def test_entries_of_a_family_are_in_order_and_have_ever_newer_runtimes() -> None:
    for family in ("CMSSW", "triton"):
        releases = [release for release in RELEASES if release.target.startswith(family)]
        assert releases == sorted(releases, key=lambda release: [int(n) for n in re.findall(r"\d+", release.target)])
        settings = [(release.runtime.ir_version, release.runtime.opset) for release in releases]
        assert settings == sorted(settings)
    assert {release.runtime for release in RELEASES} == set(RUNTIMES.values())


def test_one_file_for_several_targets_is_for_the_oldest() -> None:
    assert settings_for(["CMSSW_20_1_X", "CMSSW_15_1_X", "triton_23.12"]) == (9, 19)
    assert settings_for(["CMSSW_20_1_X"]) == (13, 20)


def test_the_command_shows_each_target_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["first", "release"] and len(lines) == len(RELEASES)
    (newest,) = (line for line in lines if line.startswith("CMSSW_20_1_X"))
    assert newest.split() == ["CMSSW_20_1_X", "1.26.0", "13", "/", "20", "2.12.1", "cms-sw/cmsdist#10615,", "#10659"]


def test_an_editor_completes_and_checks_targets_as_the_config_does() -> None:
    targets = Config.model_json_schema()["$defs"]["ExportConfig"]["properties"]["targets"]
    choices, other = targets["items"]["anyOf"]
    assert choices["enum"] == [release.target for release in RELEASES]
    assert re.search(other["pattern"], "CMSSW_15_0_4") and not re.search(other["pattern"], json.dumps("CMSSW_15"))
