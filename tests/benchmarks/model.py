"""Training against a plain loop, friend trees against plain reading and inference, the exported model against eager PyTorch."""

import statistics
import time
from pathlib import Path
from typing import Any

import lightning as L
import onnx
import torch
import uproot
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment

from benchmarks.figures import Figure, alternating, figure, memory, peak_memory, seconds_of
from benchmarks.sample import COPIES, Sample, flat
from cyclotrain.config import Config, ExportConfig, ModelConfig
from cyclotrain.contract import Contract
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.files import file_sha256
from cyclotrain.data.assemble import assemble
from cyclotrain.data.batches import Batch, Batches, Shuffle
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.data.shards import read_split
from cyclotrain.demo.branches import JETS_TREE
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.export.cmssw_preprocess import prepare, preprocess_json, variables
from cyclotrain.export.to_onnx import TrainedModel, export, network_to_onnx
from cyclotrain.ingest.recipe import Recipe
from cyclotrain.ingest.skim import STEP, skim
from cyclotrain.networks.registry import Classifier, Probabilities, SavedWeights
from cyclotrain.networks.source import network_source
from cyclotrain.runtimes.sessions import open_session
from cyclotrain.runtimes.targets import settings_for
from cyclotrain.training.optimizers import make_optimizer
from cyclotrain.training.step import WeightedTraining

_REPEATS, _STEPS, _SINGLES = 5, 60, 500


def figures(sample: Sample, folder: Path) -> list[Figure]:
    """All figures of training, of friend trees, and of inference for one example at a time."""
    contract, shards = _assembled(sample.config, sample.files, folder / "deep_sets")
    deep_sets = _Exported(contract, sample.config.model, folder / "deep_sets")
    table = [_train_vs_resident_batch(sample.config, contract, shards), _score_vs_bare(deep_sets, sample, shards, folder)]
    table += [_score_memory(deep_sets, sample, folder), *_batch_1(deep_sets, shards)]
    contract, shards = _assembled(flat(sample.config), sample.files, folder / "mlp")
    return table + _batch_1(_Exported(contract, ModelConfig(name="mlp"), folder / "mlp"), shards)


def _assembled(config: Config, files: dict[str, str], folder: Path) -> tuple[Contract, list[str]]:
    folder.mkdir()
    shards, receipts = [], []
    for name, path in files.items():
        shards.append(str(folder / f"{name}.arrow"))
        receipts.append(str(folder / f"{name}.json"))
        skim(Recipe.from_config(config, name), [path], friends={}, skip_broken=False, shard=shards[-1], receipt=receipts[-1])
    recipe, contract, dataset = DatasetRecipe.from_config(config, fold=None), folder / "contract.json", folder / "dataset.json"
    assemble(recipe, receipts=receipts, shards=shards, contract=contract, dataset=dataset)
    return Contract.read(folder / "contract.json"), shards


class _Clock(Callback):
    """The time of each step from the end of the step before, so it includes loading; without the first step of an epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last: float | None = None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last = None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.seconds.append(now - self._last)
        self._last = now


def _train_vs_resident_batch(config: Config, contract: Contract, shards: list[str]) -> Figure:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train = read_split(shards, contract, "train")
    batches = Batches(train, contract.layout, config.training.batch_size, device=device, shuffle=Shuffle(1))
    module = WeightedTraining(
        Classifier(contract, config.model.name, config.model.options),
        contract,
        training=config.training,
        steps=10 * _STEPS,
    )
    loop, resident = [], []
    batch = next(iter(batches))
    for _ in range(_REPEATS):
        clock = _Clock()
        trainer = L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu", devices=1, max_steps=_STEPS, logger=False, deterministic=True,
            plugins=[LightningEnvironment()],  # as in the training
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[clock],
        )  # fmt: skip
        trainer.fit(module, batches)
        loop.append(statistics.median(clock.seconds))
        resident.append(statistics.median(_resident(module, batch, device)))
    reference = "the same model on one batch, plain PyTorch"
    return figure("train_vs_resident_batch", 1 / min(loop), "steps/s", reference=reference, reference_value=1 / min(resident))


def _resident(module: WeightedTraining, batch: Batch, device: torch.device) -> list[float]:
    module.to(device)
    optimizer = make_optimizer(module.model, module.training_config)
    seconds = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        module.training_step(batch, 0).backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds


class _Exported:
    """An exported network with its initial weights; its speed does not depend on them."""

    def __init__(self, contract: Contract, model: ModelConfig, folder: Path) -> None:
        self.contract, self.name, self.path = contract, model.name, folder / "model.onnx"
        torch.manual_seed(0)
        network = Classifier(contract, model.name, model.options)
        SavedWeights(network.state_dict(), network_source(model.name), contract).write(folder / "weights.pt")
        export(TrainedModel(contract, model, folder / "weights.pt"), targets=ExportConfig().targets, path=self.path)
        self.eager = Probabilities(network).eval()


def _score_vs_bare(exported: _Exported, sample: Sample, shards: list[str], folder: Path) -> Figure:
    path = next(iter(sample.files.values()))
    layout = exported.contract.layout
    model = open_session(exported.path, threads=1)
    batches: list[dict[str, Any]] = []
    for split in SPLITS:
        tensors = Batches(read_split(shards[:1], exported.contract, split), layout, 1024)
        batches += [{b: v.numpy() for b, v in batch.branches.items()} for batch in tensors]
    n = sum(len(next(iter(batch.values()))) for batch in batches)

    def bare() -> None:
        for _ in uproot.iterate({path: JETS_TREE}, list(layout.inputs), step_size=f"{STEP} B"):
            pass
        for batch in batches:
            model.run(None, batch)

    def ours() -> None:
        (folder / "friend.root").unlink(missing_ok=True)
        _score(path, exported.path, folder / "friend.root")

    best, best_bare = alternating(ours, bare, repeats=2)
    reference = "uproot.iterate, and ONNX Runtime on batches that were padded before"
    return figure("score_vs_bare", n / best, "entries/s", reference=reference, reference_value=n / best_bare)


def _score(path: str, model: Path, friend: Path) -> None:
    score(Ntuple(path, JETS_TREE), {str(model): file_sha256(model)}, friend=friend, threads=1)


def _score_memory(exported: _Exported, sample: Sample, folder: Path) -> Figure:
    """Peak memory of scoring a file with an eighth of the sample's entries, and a file with all."""
    peaks = []
    for shares in (1, 8):
        path = sample.write(folder / f"{shares}.root", copies=COPIES * shares // 8)
        peaks.append(peak_memory(_score, path, exported.path, folder / f"{shares}.friend.root"))
    return memory("score_memory", peaks, "a file with an eighth of the entries")


def _batch_1(exported: _Exported, shards: list[str]) -> list[Figure]:
    """One example at a time on one thread, over the real lengths: the model against eager PyTorch and its network alone."""
    torch.set_num_threads(1)
    layout = exported.contract.layout
    test = Batches(read_split(shards, exported.contract, "test"), layout, 1)
    singles = [test.gather(torch.tensor([row])).branches for row in range(0, test.n, test.n // _SINGLES)]
    arrays = [{b: v.numpy() for b, v in single.items()} for single in singles]
    network, inputs_alone = _network_alone(exported, singles)
    model, bare = open_session(exported.path, threads=1), open_session(network, threads=1)
    # graphs that only take the inputs of the model, and of the network alone
    takes_branches, takes_groups = (
        open_session(_nothing(inputs[0], network.with_name(f"{name}.onnx")), threads=1)
        for name, inputs in (("branches", arrays), ("groups", inputs_alone))
    )
    eager, whole, alone, branches, groups = [], [], [], [], []
    with torch.inference_mode():
        for _ in range(_REPEATS):
            eager.append(seconds_of(lambda: [exported.eager(single) for single in singles]))
            whole.append(seconds_of(lambda: [model.run(None, inputs) for inputs in arrays]))
            alone.append(seconds_of(lambda: [bare.run(None, inputs) for inputs in inputs_alone]))
            branches.append(seconds_of(lambda: [takes_branches.run(None, inputs) for inputs in arrays]))
            groups.append(seconds_of(lambda: [takes_groups.run(None, inputs) for inputs in inputs_alone]))
    n = len(singles)
    setting = f"{exported.name}, batch 1, 1 thread"
    rate, rate_alone = n / min(whole), n / min(alone)
    limit = n / (min(alone) + min(branches) - min(groups))
    free = f"the same; if features cost nothing but passing {len(arrays[0])} inputs; {setting}"
    references = {
        "onnx_vs_eager_batch1": (rate, f"eager PyTorch; {setting}", n / min(eager)),
        "in_graph_vs_network_only": (rate, f"the network without its features, exported; {setting}", rate_alone),
        "in_graph_limit": (limit, free, rate_alone),
    }
    return [
        figure(f"{name}_{exported.name}", value, "examples/s", reference=reference, reference_value=reference_value)
        for name, (value, reference, reference_value) in references.items()
    ]


def _nothing(inputs: dict[str, Any], path: Path) -> Path:
    """Write a graph that takes these inputs and does nothing with them."""
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * x.ndim) for name, x in inputs.items()]
    first = next(iter(inputs))
    output = onnx.helper.make_tensor_value_info("same", onnx.TensorProto.FLOAT, [None] * inputs[first].ndim)
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", [first], ["same"])], "nothing", values, [output])
    ir_version, opset = settings_for(ExportConfig().targets)
    opsets = [onnx.helper.make_opsetid("", opset)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), path)
    return path


def _network_alone(exported: _Exported, singles: list[dict[str, torch.Tensor]]) -> tuple[Path, list[dict[str, Any]]]:
    """The network of CMSSW's preprocess.json, and its inputs, which are prepared before timing."""
    layout, path = exported.contract.layout, exported.path.with_name("network.onnx")
    onnx.save(network_to_onnx(exported.eager.model, layout, ExportConfig().targets), path)
    preprocess, layer = preprocess_json(layout), exported.eager.model.features
    return path, [prepare(preprocess, variables(layer, layout, single)) for single in singles]
