"""Train weaver's networks by weaver's own loader, in memory, and its own loop.

Run: weaver_training.py config.yaml '{"batch_size": ..., "learning_rate": ..., "options": {...}}' file.root ...
Reads lines `network steps` from standard input, and prints for each the mean CPU seconds of a step and the number of parameters.
The settings are those of Cyclotrain's networks. Needs weaver-core on PYTHONPATH.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader
from weaver.nn.model.ParticleNet import ParticleNet
from weaver.nn.model.ParticleTransformer import ParticleTransformer
from weaver.utils.dataset import SimpleIterDataset
from weaver.utils.nn.optimizer.ranger import Ranger
from weaver.utils.nn.tools import train_classification

# the groups that each network takes, in the order of its arguments
_GROUPS = {
    "deep_sets": ["pf_features", "pf_mask"],
    "particle_net": ["pf_points", "pf_features", "pf_mask"],
    "particle_transformer": ["pf_features", "pf_vectors", "pf_mask"],
}
# what these need beside the features and the mask of weaver.yaml
_MOMENTA = {"px": "pf_pt * np.cos(pf_phi)", "py": "pf_pt * np.sin(pf_phi)", "pz": "pf_pt * np.sinh(pf_eta)"}
_FURTHER = {"pf_points": [["deta", 0, 1], ["dphi", 0, 1]], "pf_vectors": ["px", "py", "pz", "pf_energy"]}


class ParticleFlowNetwork(nn.Module):
    """The PFN in weaver's layout, [batch, features, constituents]. weaver-core has none; its users' is like this one."""

    def __init__(self, n_features: int, n_classes: int, *, phi: list[int], rho: list[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in zip([n_features, *phi], phi, strict=False):
            layers += [nn.Conv1d(n_in, n_out, kernel_size=1), nn.ReLU()]
        self.phi = nn.Sequential(*layers)
        layers = []
        for n_in, n_out in zip([phi[-1], *rho], rho, strict=False):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.rho = nn.Sequential(*layers, nn.Linear(rho[-1], n_classes))

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        outputs: Tensor = self.rho((self.phi(features) * mask).sum(-1))
        return outputs


def network(name: str, options: dict[str, Any], n_features: int) -> nn.Module:
    """weaver's network of the size that the options of Cyclotrain's give; else with weaver's defaults, without dropout."""
    head = [(width, 0.0) for width in options.get("head", [])]
    if name == "deep_sets":
        return ParticleFlowNetwork(n_features, 2, phi=options["phi"], rho=options["rho"])
    if name == "particle_net":
        layers = [(options["neighbours"], tuple(widths)) for widths in options["layers"]]
        return ParticleNet(n_features, 2, conv_params=layers, fc_params=head)
    block = {"ffn_ratio": options["expansion"], "dropout": 0, "attn_dropout": 0, "activation_dropout": 0}
    return ParticleTransformer(
        n_features, 2, embed_dims=options["embedding"], pair_embed_dims=options["pair"], num_heads=options["heads"],
        num_layers=options["layers"], block_params=block, num_cls_layers=options["class_layers"], cls_block_params=block,
        fc_params=head,
    )  # fmt: skip


class Timed:
    """A loader that notes the CPU time at which each batch is asked for."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.dataset, self._loader, self.times = loader.dataset, loader, list[float]()

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            yield batch
            self.times.append(time.process_time())


class Training:
    """A network with its loader and optimiser, as weaver makes them by default."""

    def __init__(self, name: str, config: Path, settings: dict[str, Any], files: list[str]) -> None:
        data = yaml.safe_load(config.read_text())
        length = data["inputs"]["pf_features"]["length"]
        groups = data["inputs"] | {group: {"length": length, "vars": names} for group, names in _FURTHER.items()}
        data["inputs"] = {group: groups[group] for group in _GROUPS[name]}
        data["new_variables"] |= _MOMENTA
        own = config.with_name(f"{name}.yaml")
        own.write_text(yaml.safe_dump(data, sort_keys=False))
        dataset = SimpleIterDataset(
            {"jets": files}, str(own), batch_size=settings["batch_size"], for_training=True, fetch_step=1, async_load=False,
            infinity_mode=True, in_memory=True, name="train",
        )  # fmt: skip
        self.loader = Timed(DataLoader(dataset, batch_size=settings["batch_size"], drop_last=True))
        self.network = network(name, settings["options"][name], len(data["inputs"]["pf_features"]["vars"]))
        self.optimizer = Ranger(self.network.parameters(), lr=settings["learning_rate"])

    def step(self, n_steps: int) -> float:
        """The mean CPU seconds of a step."""
        self.loader.times.clear()
        arguments = argparse.Namespace(use_amp=False, amp_dtype=None)
        train_classification(
            self.network, nn.CrossEntropyLoss(), self.optimizer, None, self.loader, torch.device("cpu"), 0,
            steps_per_epoch=n_steps + 2, extra_args={"args": arguments},
        )  # fmt: skip
        return statistics.mean(after - before for before, after in pairwise(self.loader.times))


def main(config: str, settings: str, *files: str) -> None:
    """Answer each line of standard input."""
    torch.set_num_threads(1)
    given, trainings = json.loads(settings), dict[str, Training]()
    for line in sys.stdin:
        name, steps = line.split()
        if name not in trainings:
            trainings[name] = Training(name, Path(config), given, list(files))
        seconds = trainings[name].step(int(steps))
        n_parameters = sum(parameter.numel() for parameter in trainings[name].network.parameters())
        print(json.dumps([seconds, n_parameters]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
