"""A model trained on toys, with what the rules behind the export make of it."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch

from cyclotrain.contract import Contract
from cyclotrain.contract.metadata import METADATA_PREFIX
from cyclotrain.contract.results import BOOSTED_TREES, MODEL, Curves, Evaluation, Timing, Verification, all_figures
from cyclotrain.contract.run import Run
from cyclotrain.evaluation.boosted_trees import baseline
from cyclotrain.evaluation.evaluate import evaluate
from cyclotrain.evaluation.inputs import describe_inputs
from cyclotrain.evaluation.predictions import Predictions, write_answers, write_examples
from cyclotrain.evaluation.timing import Exported, time_model
from cyclotrain.export.to_aot_inductor import export_aot_inductor
from cyclotrain.export.to_onnx import export
from cyclotrain.export.trained import TrainedModel
from cyclotrain.gates.judge import judge
from cyclotrain.networks.registry import Model, Outputs
from cyclotrain.parity.artefacts import Artefact, Runtimes
from cyclotrain.parity.cases import References
from cyclotrain.parity.verify import verify
from cyclotrain.runtimes.instruction_sets import level_of
from cyclotrain.runtimes.sessions import open_session
from cyclotrain.training.step import WeightedTraining
from cyclotrain.training.train import TrainingFiles, train
from support.toys import raw_config, skim_and_assemble, toys


def run_until_killed(contract: Contract, config: Any, shards: list[str], folder: Path, parent: Path | None = None) -> None:
    """A training that is killed in the middle of its second epoch."""
    # a fork is ten times faster, but a process that has used a GPU cannot be forked
    context = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")
    process = context.Process(target=_train_until_killed, args=(contract, config, shards, folder, parent))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and list(folder.glob("ck/*/last.ckpt"))


def _train_until_killed(contract: Contract, config: Any, shards: list[str], folder: Path, parent: Path | None) -> None:
    step = WeightedTraining.training_step

    def kills(module: WeightedTraining, batch: Any, index: int) -> Any:
        if module.current_epoch == 1 and index == 10:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(module, batch, index)

    WeightedTraining.training_step = kills  # type: ignore[method-assign]
    run_training(contract, config, shards, folder, parent=parent)


def run_training(
    contract: Contract, config: Any, shards: list[str], folder: Path, delay: float = 0.0, parent: Path | None = None
) -> Path:
    folder.mkdir(exist_ok=True)
    if delay:  # slow steps, to be killed in the middle of an epoch
        step = WeightedTraining.training_step

        def slow(*arguments: Any) -> Any:
            time.sleep(delay)
            return step(*arguments)

        WeightedTraining.training_step = slow  # type: ignore[method-assign]
    train(
        contract,
        shards,
        model=config.model,
        training=config.training,
        threads=1,
        files=TrainingFiles(folder / "weights.pt", folder / "history.jsonl", folder / "ck", parent),
    )
    return folder / "weights.pt"


def with_contract(model: Path, path: Path, **changes: Any) -> Path:
    """A copy of a model whose contract has other values."""
    copy = onnx.load(model)
    for entry in copy.metadata_props:
        if entry.key == METADATA_PREFIX + "contract":
            entry.value = json.dumps(json.loads(entry.value) | changes)
    onnx.save(copy, path)
    return path


NETWORKS = ("mlp", "deep_sets", "transformer", "particle_transformer", "particle_net")


def untrained(network: str, folder: Path) -> tuple[Contract, Outputs]:
    """A network with random weights, for toys."""
    raw = raw_config(toys(folder, 100), model={"name": network})
    if network == "mlp":
        del raw["inputs"]["pf"]
    elif network.startswith("particle"):
        raw["inputs"]["pf"]["four_vector"] = {"pt": "pf_pt", "eta": "pf_eta", "phi": "pf_phi", "energy": "pf_pt"}
    config, contract, _ = skim_and_assemble(raw, folder)
    torch.manual_seed(0)
    return contract, Outputs(Model(contract, config.model.name, config.model.options)).eval()


class Trained:
    def __init__(self, config: Any, contract: Contract, shards: list[str], folder: Path) -> None:
        self.config, self.contract, self.shards, self.folder = config, contract, shards, folder
        self.dataset = Path(shards[0]).with_name("dataset.json")
        self.weights = run_training(contract, config, shards, folder)
        self.onnx = folder / "model.onnx"
        self.model = TrainedModel(contract, config.model, self.weights)
        export(self.model, targets=config.export.targets, path=self.onnx)

    def compiled(self, name: str) -> Path:
        """The model compiled by AOTInductor, one of AOT_INDUCTOR; made once, in some ten seconds."""
        path = self.folder / f"{name}.pt2"
        if not path.exists():
            export_aot_inductor(self.model, level_of(name), path)
        return path

    def verify(
        self, exported: Path | None = None, environments: Sequence[Path] = (), others: Sequence[Artefact] = ()
    ) -> Verification:
        evidence = self.folder / "evidence.npz"
        evidence.unlink(missing_ok=True)
        return verify(
            self.contract,
            References(self.contract, self.config.model, self.weights),
            [Artefact(MODEL, str(exported or self.onnx), 1e-5, tf32_tolerance=0.05), *others],
            shards=self.shards,
            runtimes=Runtimes(environments, threads=2),
            evidence=evidence,
        )

    def evaluate(self, **variants: Path) -> tuple[Evaluation, Curves]:
        """The physics of the model and of variants, beside boosted trees."""
        return evaluate(self.contract, self.predictions(**variants), model=self.onnx, settings=self.config.evaluation)

    def predictions(self, **variants: Path) -> dict[str, Predictions]:
        """What the model answers on both splits, and variants and boosted trees on the test split."""
        folder = self.folder / "predictions"
        for split in ("train", "test"):
            if not (folder / split / "examples.arrow").exists():
                write_answers(
                    self.contract, self.shards, open_session(self.onnx, 1), split=split, path=folder / split / "model.arrow"
                )
                write_examples(self.contract, self.shards, split=split, path=folder / split / "examples.arrow")
        trees = folder / "test/boosted_trees.arrow"
        if not trees.exists():
            baseline(self.contract, self.shards, path=trees)
        answers: dict[str, dict[str, Path]] = {"train": {}, "test": {BOOSTED_TREES: trees}}
        for kind, path in variants.items():
            answers["test"][kind] = folder / f"test/{kind}.arrow"
            write_answers(self.contract, self.shards, open_session(path, 1), split="test", path=answers["test"][kind])
        return {
            split: Predictions(
                self.contract,
                examples=folder / split / "examples.arrow",
                answers={MODEL: folder / split / "model.arrow", **others},
            )
            for split, others in answers.items()
        }

    def time(self, **variants: Path) -> Timing:
        exported = Exported(self.onnx, self.weights, variants, forms={})
        return time_model(self.contract, self.config.model, exported, shards=self.shards, environments=[])

    def run(self) -> Run:
        """A finished run, as its files tell it."""
        files = {
            name: self.folder / f"{name}.json" for name in ("verification", "evaluation", "curves", "timing", "gates", "inputs")
        }
        if not files["gates"].exists():
            verification, (evaluation, curves) = self.verify(), self.evaluate()
            timing = self.time()
            results = {"verification": verification, "evaluation": evaluation, "curves": curves, "timing": timing}
            for name, result in results.items():
                result.write(files[name])
            studies = {"inputs": describe_inputs(self.contract, self.shards)}
            for name, study in studies.items():
                study.write(self.folder / f"{name}.json")
            figures = all_figures(verification, evaluation, timing, studies.values())
            judge(verification, figures, bounds={"auc.*": [">= 0.5"]}, rejection_losses={}).write(files["gates"])
        contract, history = self.dataset.with_name("contract.json"), self.folder / "history.jsonl"
        return Run.read(
            {
                **files,
                "model": self.onnx,
                "weights": self.weights,
                "contract": contract,
                "dataset": self.dataset,
                "history": history,
            }
        )
