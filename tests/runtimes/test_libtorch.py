"""The exported model in the LibTorch releases of the targets, each in a process of its own."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from cyclotrain.contract import Contract, Layout
from cyclotrain.contract.metadata import METADATA_PREFIX
from cyclotrain.contract.results import AOT_INDUCTOR
from cyclotrain.core.files import write_json
from cyclotrain.export.to_torch import archive, export_torchscript, model_to_torchscript
from cyclotrain.networks.registry import Outputs
from cyclotrain.runtimes import environments, instruction_sets
from cyclotrain.runtimes.environments import install_libtorch, installed
from cyclotrain.runtimes.libtorch import LibTorchProcess
from cyclotrain.runtimes.sessions import CPU, Configuration
from cyclotrain.runtimes.targets import RELEASES, libtorch_versions, runs_aot_inductor
from support.trained import NETWORKS, Trained, untrained

pytestmark = pytest.mark.runtimes
OWN = torch.__version__.partition("+")[0]
VERSIONS = [*libtorch_versions([release.target for release in RELEASES]), OWN]
AS_LOADED, FROZEN, FROZEN_THREADS = (
    Configuration(CPU, "disable_all", 1), Configuration(CPU, "enable_all", 1), Configuration(CPU, "enable_all", 4),
)  # fmt: skip


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("libtorch")
    for version in VERSIONS:
        install_libtorch(version, folder=folder / version, result=folder / f"run/{version}.json")
    results = installed([folder / f"run/{version}.json" for version in VERSIONS])
    assert [result.get("reason") for result in results] == [None] * len(VERSIONS)
    return {result["version"]: Path(result["worker"]) for result in results}


@pytest.fixture(scope="module")
def script(trained: Trained) -> Path:
    path = trained.folder / "for_libtorch.pt"
    export_torchscript(trained.model, path)
    return path


@pytest.fixture(scope="module")
def package(trained: Trained) -> Path:
    return trained.compiled(AOT_INDUCTOR[0])


def batches(layout: Layout) -> Iterator[dict[str, Tensor]]:
    """Branches of several batch sizes, of every length up to beyond max_length."""
    random = torch.Generator().manual_seed(3)
    for length in (*range(1, 13), 64, 100):
        for n in (1, 7, 64):
            shapes = {name: (n, length if group else 1) for name, group in layout.inputs.items()}
            yield {name: torch.rand(shape, generator=random) * 20 - 2 for name, shape in shapes.items()}


def pytorch(outputs: Outputs, branches: dict[str, Tensor]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        answer: npt.NDArray[np.float32] = torch.cat(outputs(branches), dim=1).numpy()
    return answer


def check(contract: Contract, outputs: Outputs, process: LibTorchProcess) -> None:
    """All sessions answer as PyTorch does, and those of several threads as those of one, to the bit."""
    assert process.inputs == {name: ["batch", group or 1] for name, group in contract.layout.inputs.items()}
    for branches in batches(contract.layout):
        process.ask(branches, process.configurations)
        answers = process.answers()
        assert list(answers) == list(process.configurations) and len(process.seconds) == len(answers)
        expected = pytorch(outputs, branches)
        for answer in answers.values():
            np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-5)
        assert answers[FROZEN].tobytes() == answers[FROZEN_THREADS].tobytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_torchscript_gives_pytorchs_answers(version: str, workers: dict[str, Path], script: Path, trained: Trained) -> None:
    configurations = [AS_LOADED, FROZEN, FROZEN_THREADS]
    with LibTorchProcess(workers[version], script, configurations, prefix=METADATA_PREFIX) as process:
        assert process.runtime == f"libtorch {version}"
        check(trained.contract, Outputs(trained.model.load()), process)


@pytest.mark.parametrize("version", [version for version in VERSIONS if runs_aot_inductor(version)])
def test_a_package_of_aot_inductor_gives_pytorchs_answers(
    version: str, workers: dict[str, Path], package: Path, trained: Trained
) -> None:
    configurations = [FROZEN, FROZEN_THREADS]
    with LibTorchProcess(workers[version], package, configurations, prefix=METADATA_PREFIX) as process:
        check(trained.contract, Outputs(trained.model.load()), process)


@pytest.mark.parametrize("network", NETWORKS)
def test_torchscript_of_every_network_runs_in_every_release(network: str, workers: dict[str, Path], tmp_path: Path) -> None:
    contract, outputs = untrained(network, tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(archive(model_to_torchscript(outputs, contract), {"contract": contract.to_dict()}))
    for worker in workers.values():
        with LibTorchProcess(worker, path, [FROZEN, FROZEN_THREADS], prefix=METADATA_PREFIX) as process:
            check(contract, outputs, process)


def test_a_model_of_several_outputs_answers_with_all_columns(
    workers: dict[str, Path], trained_to_regress: Trained, tmp_path: Path
) -> None:
    export_torchscript(trained_to_regress.model, tmp_path / "model.pt")
    with LibTorchProcess(workers[OWN], tmp_path / "model.pt", [FROZEN], prefix=METADATA_PREFIX) as process:
        branches = next(batches(trained_to_regress.contract.layout))
        process.ask(branches, [FROZEN])
        np.testing.assert_allclose(
            process.answers()[FROZEN], pytorch(Outputs(trained_to_regress.model.load()), branches), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("kind", ["script", "package"])
def test_calls_are_timed_one_by_one(
    kind: str, workers: dict[str, Path], trained: Trained, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    small, large = ({name: torch.ones(n, 1) for name in trained.contract.layout.inputs} for n in (1, 100_000))
    with LibTorchProcess(workers[OWN], model, [FROZEN], prefix=METADATA_PREFIX) as process:
        assert process.load_seconds > 0
        before = process.memory
        seconds = process.time([small, large], FROZEN, warm_up=3, repeats=5)
        assert seconds.shape == (2, 5) and (seconds > 0).all()
        assert np.median(seconds[0]) < 1e-2 and np.median(seconds[1]) > 10 * np.median(seconds[0])
        assert before and process.memory and process.memory > before + 10


@pytest.mark.parametrize("version", ["2.6.0", OWN])
def test_a_file_that_cannot_be_loaded_is_an_error_in_words(
    version: str, workers: dict[str, Path], script: Path, tmp_path: Path
) -> None:
    content = script.read_bytes()
    cut, without_contract = tmp_path / "cut.pt", tmp_path / "other.pt"
    cut.write_bytes(content[: len(content) // 2])
    torch.jit.save(torch.jit.load(script), without_contract)
    for path, message in [
        (tmp_path / "none.pt", "there is no file .*none.pt"),
        (tmp_path / "none.pt2", "none.pt2 cannot be read as a package of AOTInductor: .*No such file"),
        (cut, "PytorchStreamReader failed reading zip archive: failed finding central directory"),
        (without_contract, "other.pt: it has no contract"),
    ]:
        with (
            pytest.raises(RuntimeError, match=message),
            LibTorchProcess(workers[version], path, [FROZEN], prefix=METADATA_PREFIX),
        ):
            pass


def test_a_package_is_refused_where_it_cannot_run(
    workers: dict[str, Path], package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = pytest.raises(RuntimeError, match=r"LibTorch 2\.6\.0 cannot run packages of AOTInductor")
    with refused, LibTorchProcess(workers["2.6.0"], package, [FROZEN], prefix=METADATA_PREFIX):
        pass
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(package.read_bytes()[:100_000])
    with (
        pytest.raises(RuntimeError, match=r"cut\.pt2 cannot be read as a package"),
        LibTorchProcess(workers[OWN], cut, [FROZEN], prefix=METADATA_PREFIX),
    ):
        pass
    monkeypatch.setattr(instruction_sets, "missing", lambda *_: ["avx2"])
    process = LibTorchProcess(workers[OWN], package, [FROZEN], prefix=METADATA_PREFIX)
    with pytest.raises(RuntimeError, match="compiled for x86-64-v2, and the processor of this machine lacks avx2"), process:
        pass


@pytest.mark.parametrize("kind", ["script", "package"])
def test_inputs_of_other_shapes_are_refused_with_their_names(
    kind: str, workers: dict[str, Path], trained: Trained, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    good = next(batches(trained.contract.layout))
    with LibTorchProcess(workers[OWN], model, [FROZEN], prefix=METADATA_PREFIX) as process:
        for name, value, message in [
            ("jet_pt", torch.ones(1, 2), r"input \d \('jet_pt'\) has the length 2, but it is one number per example"),
            ("pf_eta", torch.ones(1, 9), r"\('pf_eta'\) has the length 9; 'pf_pt' of the same set has 1"),
            ("pf_eta", torch.ones(2, 1), r"\('pf_eta'\) has 2 examples; the first one has 1"),
            ("pf_eta", torch.ones(1, 1, 1), r"\('pf_eta'\) has 3 dimensions, not 2"),
        ]:
            process.ask(good | {name: value}, [FROZEN])
            with pytest.raises(RuntimeError, match=message):
                process.answers()
        with pytest.raises(RuntimeError, match="the model also takes pf_eta"):
            process.ask({name: value for name, value in good.items() if name != "pf_eta"}, [FROZEN])
        with pytest.raises(RuntimeError, match=r"has the length 0; .* and at least 1 is needed"):
            process.time([{name: torch.ones(1, 0 if name.startswith("pf") else 1) for name in good}], FROZEN)
        process.ask(good, [FROZEN])  # and it answers still
        np.testing.assert_allclose(process.answers()[FROZEN], pytorch(Outputs(trained.model.load()), good), rtol=1e-5, atol=1e-5)


def test_a_wrong_number_of_inputs_is_refused(workers: dict[str, Path], script: Path, trained: Trained) -> None:
    with LibTorchProcess(workers[OWN], script, [FROZEN], prefix=METADATA_PREFIX) as process:
        del process.inputs["pf_eta"]
        process.ask(next(batches(trained.contract.layout)), [FROZEN])
        n = len(trained.contract.layout.inputs)
        with pytest.raises(RuntimeError, match=f"the model takes {n} inputs, not {n - 1}"):
            process.answers()


def test_runs_share_a_release_and_make_it_again_where_that_was_cut_short_or_its_source_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "worker.cpp"  # which is compiled in no time
    source.write_text(f'#include <cstdio>\nint main() {{ std::puts("{OWN}"); }}\n')
    monkeypatch.setattr(environments, "_WORKER", source)

    def install() -> tuple[str, int]:
        install_libtorch(OWN, folder=tmp_path / "libtorch", result=tmp_path / "result.json")
        result = (tmp_path / "result.json").read_text()
        return result, Path(json.loads(result)["worker"]).stat().st_mtime_ns

    first = install()
    assert install() == first
    (tmp_path / "libtorch/installed.json").unlink()  # as a killed job leaves it
    second = install()
    assert second[1] > first[1]
    source.write_text(source.read_text() + "// changed\n")
    assert install()[1] > second[1]
    source.write_text(source.read_text().replace(OWN, "0.1"))
    with pytest.raises(RuntimeError, match=f"has LibTorch 0.1, not {OWN}"):
        install()


def test_a_release_that_cannot_be_had_is_told_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reason(version: str) -> str:
        install_libtorch(version, folder=tmp_path / version, result=tmp_path / "result.json")
        assert not (tmp_path / version).exists()
        (result,) = installed([tmp_path / "result.json"])
        return str(result["reason"])

    assert "torch==0.0.1" in reason("0.0.1")
    (tmp_path / "empty.cpp").write_text("#include <no_such_header>\n")
    with monkeypatch.context() as patch:
        patch.setattr(environments, "_WORKER", tmp_path / "empty.cpp")
        assert "no_such_header" in reason(OWN)
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert reason(OWN) == (
        "not installed: this machine has no C++ compiler 'no-such-compiler'; install g++, or set CXX to another one"
    )
    write_json(tmp_path / "result.json", {"version": OWN, "worker": str(tmp_path / "worker")})
    (result,) = installed([tmp_path / "result.json"])
    assert result["reason"].startswith(f"this machine has no {tmp_path / 'worker'}; if it was deleted")
