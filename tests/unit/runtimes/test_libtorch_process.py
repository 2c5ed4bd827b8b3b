"""A process that runs LibTorch, and what is installed for it."""

import platform
import re
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from cyclotrain.runtimes.environments import _cuda_libraries
from cyclotrain.runtimes.libtorch import LibTorchProcess, _of_threads
from cyclotrain.runtimes.sessions import CPU, Configuration
from cyclotrain.runtimes.targets import libtorch_versions, runs_aot_inductor


def test_the_libtorch_of_targets_is_listed_once_and_oldest_first() -> None:
    targets = ["CMSSW_20_0_X", "triton_25.03", "CMSSW_15_1_X", "CMSSW_20_0_0_pre1", "CMSSW_13_1_X"]
    assert libtorch_versions(targets) == ["2.6.0", "2.10.0"]
    assert libtorch_versions(["triton_25.03"]) == []
    assert [runs_aot_inductor(version) for version in ("2.6.0", "2.9.1", "2.10.0", "2.12.1", "3.0.0")] == [False] * 2 + [True] * 3


@pytest.mark.parametrize(
    ("requirements", "libraries"),
    [
        (
            [  # 2.6.0
                "sympy (==1.13.1) ; python_version >= '3.9'",
                'nvidia-cuda-nvrtc-cu12 (==12.4.127) ; platform_system == "Linux" and platform_machine == "x86_64"',
                'nvidia-cuda-runtime-cu12 (==12.4.127) ; platform_system == "Linux" and platform_machine == "x86_64"',
                'nvidia-cuda-cupti-cu12 (==12.4.127) ; platform_system == "Linux" and platform_machine == "x86_64"',
            ],
            ["nvidia-cuda-runtime-cu12==12.4.127", "nvidia-cuda-cupti-cu12==12.4.127"],
        ),
        (
            [  # 2.12.1
                'cuda-toolkit[cudart,cufft,cupti,nvtx]==13.0.2; platform_system == "Linux"',
                'nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"',
            ],
            ["cuda-toolkit[cudart,cupti]==13.0.2"],
        ),
        (["filelock", "typing-extensions>=4.10.0"], []),  # a build without CUDA
        (['nvidia-cuda-cupti-cu12 (==12.4.127) ; platform_machine == "another"'], []),
    ],
)
@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the requirements are those of Linux on x86-64"
)
def test_of_cuda_only_what_libtorch_cpu_links_to_is_installed(requirements: list[str], libraries: list[str]) -> None:
    assert _cuda_libraries(requirements) == libraries


def test_a_thread_with_another_answer_is_not_lost() -> None:
    same = np.ones((3, 2, 2), np.float32)
    assert _of_threads(same) is not None and (_of_threads(same) == 1).all()
    other = same.copy()
    other[2, 1, 1] = np.nan
    np.testing.assert_array_equal(_of_threads(other), other[2])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("kill -ILL $$", r"ended with SIGILL \(an instruction that this processor lacks\): .*model\.pt"),
        ("kill -KILL $$", r"ended with SIGKILL: .*model\.pt"),
        ("exit 127", r"ended with exit code 127: .*model\.pt"),
    ],
)
def test_a_process_that_dies_is_an_error_that_says_of_what(line: str, message: str, tmp_path: Path) -> None:
    worker = tmp_path / "worker"
    worker.write_text(f"#!/bin/sh\n{line}\n")
    worker.chmod(worker.stat().st_mode | stat.S_IXUSR)
    process = LibTorchProcess(worker, "model.pt", [Configuration(CPU, "enable_all", 1)], prefix="")
    with pytest.raises(RuntimeError, match=f"{re.escape(str(worker))}: the LibTorch process {message}"), process:
        pass
