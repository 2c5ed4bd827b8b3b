"""Training against a plain loop, friend trees against plain reading and inference, the exported model against eager PyTorch."""

from pathlib import Path
from typing import Any

import onnx
import torch
import uproot

from benchmarks.figures import Figure, alternating, figure, memory, peak_memory, seconds_of
from benchmarks.networks import with_four_vectors
from benchmarks.sample import COPIES, Sample, flat
from benchmarks.training import assembled, train_vs_resident_batch, with_model
from cyclotrain.config import Config, ExportConfig
from cyclotrain.contract.splits import SPLITS
from cyclotrain.core.files import file_sha256
from cyclotrain.data.batches import Batches
from cyclotrain.data.shards import read_split
from cyclotrain.demo.branches import JETS_TREE
from cyclotrain.deploy.friend_trees import Ntuple, score
from cyclotrain.export.cmssw_preprocess import prepare, preprocess_json, variables
from cyclotrain.export.to_onnx import export, network_to_onnx
from cyclotrain.export.trained import TrainedModel
from cyclotrain.ingest.skim import STEP
from cyclotrain.networks.registry import Model, Outputs, SavedWeights
from cyclotrain.networks.source import network_source
from cyclotrain.runtimes.sessions import open_session
from cyclotrain.runtimes.targets import settings_for

_REPEATS, _SINGLES = 5, 500
_TRAINED = "transformer", "deep_sets"


def figures(sample: Sample, folder: Path) -> list[Figure]:
    """All figures of training, of friend trees, and of inference for one example at a time."""
    demo = Exported(sample.config, sample.files, folder / "demo")
    table = [_score_vs_bare(demo, sample, folder), _score_memory(demo, sample, folder)]
    files = sample.first(folder)
    configs = {name: with_model(sample.config, name) for name in ("transformer", "deep_sets")}
    configs |= {name: with_model(with_four_vectors(sample.config), name) for name in ("particle_transformer", "particle_net")}
    for name, config in {**configs, "mlp": flat(sample.config)}.items():
        exported = Exported(config, files, folder / name)
        if name in _TRAINED:
            table += train_vs_resident_batch(config, exported.contract, exported.shards)
        table += _batch_1(exported)
    return table


class Exported:
    """An exported network with its initial weights; its speed does not depend on them."""

    def __init__(self, config: Config, files: dict[str, str], folder: Path) -> None:
        self.contract, self.shards = assembled(config, files, folder)
        self.name, self.path = config.model.name, folder / "model.onnx"
        torch.manual_seed(0)
        network = Model(self.contract, config.model.name, config.model.options)
        saved = SavedWeights(network.state_dict(), network_source(config.model.name), self.contract)
        saved.write(folder / "weights.pt")
        self.trained = TrainedModel(self.contract, config.model, folder / "weights.pt")
        export(self.trained, targets=ExportConfig().targets, path=self.path)
        self.eager = Outputs(network).eval()


def _score_vs_bare(exported: Exported, sample: Sample, folder: Path) -> Figure:
    path = next(iter(sample.files.values()))
    layout = exported.contract.layout
    model = open_session(exported.path, threads=1)
    batches: list[dict[str, Any]] = []
    for split in SPLITS:
        tensors = Batches(read_split(exported.shards[:1], exported.contract, split), layout, 1024)
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


def _score_memory(exported: Exported, sample: Sample, folder: Path) -> Figure:
    """Peak memory of scoring a file with an eighth of the sample's entries, and a file with all."""
    peaks = []
    for shares in (1, 8):
        path = sample.write(folder / f"{shares}.root", copies=COPIES * shares // 8)
        peaks.append(peak_memory(_score, path, exported.path, folder / f"{shares}.friend.root"))
    return memory("score_memory", peaks, "a file with an eighth of the entries")


def singles(exported: Exported) -> list[dict[str, torch.Tensor]]:
    """Some 500 test examples, each as a batch of its own."""
    test = Batches(read_split(exported.shards, exported.contract, "test"), exported.contract.layout, 1)
    return [test.gather(torch.tensor([row])).branches for row in range(0, test.n, test.n // _SINGLES)]


def _batch_1(exported: Exported) -> list[Figure]:
    """One example at a time on one thread, over the real lengths: the model against eager PyTorch and its network alone."""
    torch.set_num_threads(1)
    examples = singles(exported)
    arrays = [{b: v.numpy() for b, v in example.items()} for example in examples]
    network, inputs_alone = _network_alone(exported, examples)
    model, bare = open_session(exported.path, threads=1), open_session(network, threads=1)
    # graphs that only take the inputs of the model, and of the network alone
    takes_branches, takes_groups = (
        open_session(_nothing(inputs[0], network.with_name(f"{name}.onnx")), threads=1)
        for name, inputs in (("branches", arrays), ("groups", inputs_alone))
    )
    eager, whole, alone, branches, groups = [], [], [], [], []
    with torch.inference_mode():
        for _ in range(_REPEATS):
            eager.append(seconds_of(lambda: [exported.eager(example) for example in examples]))
            whole.append(seconds_of(lambda: [model.run(None, inputs) for inputs in arrays]))
            alone.append(seconds_of(lambda: [bare.run(None, inputs) for inputs in inputs_alone]))
            branches.append(seconds_of(lambda: [takes_branches.run(None, inputs) for inputs in arrays]))
            groups.append(seconds_of(lambda: [takes_groups.run(None, inputs) for inputs in inputs_alone]))
    n = len(examples)
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


def _network_alone(exported: Exported, examples: list[dict[str, torch.Tensor]]) -> tuple[Path, list[dict[str, Any]]]:
    """The network of CMSSW's preprocess.json, and its inputs, which are prepared before timing."""
    layout, path = exported.contract.layout, exported.path.with_name("network.onnx")
    onnx.save(network_to_onnx(exported.eager.model, exported.contract, ExportConfig().targets), path)
    preprocess, layer = preprocess_json(exported.contract), exported.eager.model.features
    return path, [prepare(preprocess, variables(layer, layout, example)) for example in examples]
