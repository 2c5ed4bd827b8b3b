"""What our speed is in units of the limit, from one run on one machine. Run: make bench

Each figure is {name, value, unit, reference, reference_value, ratio}, a ratio above 1 meaning faster than the reference.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import lightning as L
import torch
import uproot
import yaml
from lightning.pytorch.callbacks import Callback

from cyclotrain.assemble import assemble
from cyclotrain.batches import Batch, Batches
from cyclotrain.config import Config, load
from cyclotrain.contract import Contract
from cyclotrain.dataset import read_split
from cyclotrain.demo.branches import JETS_TREE
from cyclotrain.demo.simulate import simulate
from cyclotrain.models import Model
from cyclotrain.provenance import write_json
from cyclotrain.recipe import DatasetRecipe, Recipe
from cyclotrain.skim import STEP, skim
from cyclotrain.train import Training

Figure = dict[str, str | float]
_JETS, _COPIES, _REPEATS, _STEPS = 3000, 56, 5, 60


def figure(name: str, value: float, unit: str, reference: str, reference_value: float) -> Figure:
    """One line of the table; value and reference_value are rates in the same unit."""
    return {
        "name": name, "value": value, "unit": unit, "reference": reference, "reference_value": reference_value,
        "ratio": value / reference_value,
    }  # fmt: skip


def main() -> None:
    """Measure, print the table and write it as JSON."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*(LeafSpec|val_dataloader).*")  # of Lightning, on purpose without validation
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="the JSON file to write")
    result = parser.parse_args().result
    with tempfile.TemporaryDirectory() as folder:
        config, files = _sample(Path(folder))
        table = [_skim_vs_uproot(config, files, Path(folder)), _train_vs_resident_batch(config, files, Path(folder))]
    write_json(result, table)
    print(f"\n{'':26}{'Cyclotrain':>12}{'reference':>12}{'ratio':>8}")
    for line in table:
        rates = f"{line['value']:12,.1f}{line['reference_value']:12,.1f}{line['ratio']:8.2f}"
        print(f"{line['name']:26}{rates}  {line['unit']}; {line['reference']}")


def _sample(folder: Path) -> tuple[Config, dict[str, str]]:
    """The demo's config on two files of simulated jets, each repeated to a size that can be timed."""
    raw = yaml.safe_load(Path("config/config.yaml").read_text())
    files = {}
    for run, (name, sample) in enumerate(raw["samples"].items()):
        once, files[name] = folder / "once.root", str(folder / f"{name}.root")
        simulate(sample["simulate"]["process"], _JETS, run, 0, 1, once)
        with uproot.open(once) as source, uproot.recreate(files[name], compression=uproot.ZSTD(3)) as target:
            columns = source[JETS_TREE].arrays()
            constituents = [branch for branch in columns.fields if branch.startswith("pf_")]
            entries = {b: columns[b] for b in columns.fields if b not in (*constituents, "npf")}
            entries["pf"] = ak.zip({b.removeprefix("pf_"): columns[b] for b in constituents})
            tree = target.mktree(JETS_TREE, {b: column.type for b, column in entries.items()})
            for _ in range(_COPIES // 2):  # baskets of 2 copies, 6000 entries
                tree.extend({b: ak.concatenate([column] * 2) for b, column in entries.items()})
        raw["samples"][name] = {"files": [files[name]], "tree": JETS_TREE, "label": sample["label"]}
    return load(raw), files


def _skim_vs_uproot(config: Config, files: dict[str, str], folder: Path) -> Figure:
    name, path = next(iter(files.items()))
    recipe = Recipe.of(config, name)

    def bare() -> int:
        return sum(len(batch) for batch in uproot.iterate({path: JETS_TREE}, recipe.branches(), step_size=STEP))

    def ours() -> None:
        for extension in ("arrow", "json"):  # else the time to free the old file's blocks is in it
            (folder / f"skim.{extension}").unlink(missing_ok=True)
        skim(recipe, [path], folder / "skim.arrow", folder / "skim.json")

    n = bare()
    reference = "uproot.iterate over the same branches, read and dropped"
    # alternating, so that what else the machine does meets both alike
    seconds = [(_seconds(ours), _seconds(bare)) for _ in range(_REPEATS)]
    best, best_bare = (min(column) for column in zip(*seconds, strict=True))
    return figure("skim_vs_uproot", n / best, "events/s", reference, n / best_bare)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class _Clock(Callback):
    """The time of each step, from the end of the one before, so with loading, and without the first of an epoch."""

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


def _train_vs_resident_batch(config: Config, files: dict[str, str], folder: Path) -> Figure:
    shards, receipts = [], []
    for name, path in files.items():
        shards.append(str(folder / f"{name}.arrow"))
        receipts.append(str(folder / f"{name}.json"))
        skim(Recipe.of(config, name), [path], shards[-1], receipts[-1])
    assemble(DatasetRecipe.of(config), receipts, shards, folder / "contract.json", folder / "dataset.json")
    contract = Contract.read(folder / "contract.json")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train = read_split(shards, contract.layout, "train")
    batches = Batches(train, contract.layout, config.training.batch_size, device, shuffle_seed=1)
    module = Training(Model(contract, config.model.name, config.model.options), contract, config.training, 10 * _STEPS)
    loop, resident = [], []
    batch = next(iter(batches))
    for _ in range(_REPEATS):
        clock = _Clock()
        trainer = L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu", devices=1, max_steps=_STEPS, logger=False, deterministic=True,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[clock],
        )  # fmt: skip
        trainer.fit(module, batches)
        loop.append(statistics.median(clock.seconds))
        resident.append(statistics.median(_resident(module, batch, device)))
    return figure(
        "train_vs_resident_batch",
        1 / min(loop),
        "steps/s",
        "the same model on one batch, plain PyTorch",
        1 / min(resident),
    )


def _resident(module: Training, batch: Batch, device: torch.device) -> list[float]:
    module.to(device)
    optimizer = torch.optim.AdamW(module.parameters())
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


if __name__ == "__main__":
    main()
