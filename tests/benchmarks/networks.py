"""A step of the training of PFN, ParticleNet and ParT against weaver: the same jets, features, sizes, batches, and one thread."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.figures import Figure, figure
from benchmarks.ingest import WEAVER
from benchmarks.sample import Sample
from benchmarks.training import Training, assembled, with_model
from cyclotrain.config import Config
from cyclotrain.config.inputs import FourVectorConfig
from cyclotrain.runtimes.environments import uv

_TURNS, _STEPS = 5, 12
_NAMES = {"deep_sets": "pfn", "particle_net": "particle_net", "particle_transformer": "particle_transformer"}
_PROGRAM = Path(__file__).with_name("weaver_training.py")


def figures(sample: Sample, folder: Path) -> list[Figure]:
    """Steps per CPU second, the mean of some turns, Cyclotrain and weaver in turns."""
    torch.set_num_threads(1)
    config = with_four_vectors(sample.config)
    inputs = {"constituents": config.inputs["constituents"]}
    # weaver's loader in memory makes batches of like length only in its first epoch
    training = config.training.model_copy(update={"bucket": True})
    config = config.model_copy(update={"inputs": inputs, "training": training})
    files = sample.first(folder)
    configs = {name: with_model(config, name) for name in _NAMES}
    with _Weaver(folder, configs, list(files.values())) as weaver:
        return [
            _step_vs_weaver(name, Training(one, *assembled(one, files, folder / f"{name}_step")), weaver)
            for name, one in configs.items()
        ]


def with_four_vectors(config: Config) -> Config:
    """The demo's config with four-vectors, which ParticleNet and ParT need."""
    vector = FourVectorConfig(pt="pf_pt", eta="pf_eta", phi="pf_phi", energy="pf_energy")
    constituents = config.inputs["constituents"].model_copy(update={"four_vector": vector})
    return config.model_copy(update={"inputs": {**config.inputs, "constituents": constituents}})


class _Weaver:
    """A process that trains weaver's networks when asked."""

    def __init__(self, folder: Path, configs: Mapping[str, Config], files: list[str]) -> None:
        packages = folder / "weaver"
        if not packages.exists():
            uv("pip", "install", "--python", sys.executable, "--no-deps", "--target", str(packages), *WEAVER)
        (folder / "weaver_training").mkdir()
        data = shutil.copy(Path(__file__).with_name("weaver.yaml"), folder / "weaver_training")
        training = next(iter(configs.values())).training
        settings = {
            "batch_size": training.batch_size,
            "learning_rate": training.learning_rate,
            "options": {name: config.model.options for name, config in configs.items()},
        }
        self._process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), data, json.dumps(settings), *files], text=True,
            env={**os.environ, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(folder / "weaver_training.log").open("w"),
        )  # fmt: skip
        self._log = folder / "weaver_training.log"

    def __enter__(self) -> "_Weaver":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def step(self, name: str, n_steps: int) -> tuple[float, int]:
        """The mean CPU seconds of a step, and the number of parameters of the network."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{name} {n_steps}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"weaver's training of {name} ended: {self._log.read_text()[-2000:]}")
        seconds, n_parameters = json.loads(answer)
        return seconds, n_parameters


def _step_vs_weaver(name: str, training: Training, weaver: _Weaver) -> Figure:
    ours, theirs = [], []
    weaver.step(name, _STEPS)  # it loads the files, and does not shorten its first five batches
    for _ in range(_TURNS):
        # the mean, because batches of like length differ
        ours.append(statistics.mean(training.steps(_STEPS, time.process_time)))
        seconds, n_theirs = weaver.step(name, _STEPS)
        theirs.append(seconds)
    n_ours = sum(parameter.numel() for parameter in training.module.parameters())
    return figure(
        f"step_vs_weaver_{_NAMES[name]}",
        1 / statistics.mean(ours),
        "steps/CPU s",
        reference=f"weaver-core, batch {training.batches.batch_size}, 1 thread; {n_theirs:,} parameters, ours {n_ours:,}",
        reference_value=1 / statistics.mean(theirs),
    )
