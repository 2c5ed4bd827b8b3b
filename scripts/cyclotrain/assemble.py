"""Shards to a dataset: totals, class balance, standardisation on the training split, and the contract."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclotrain.batches import Batches
from cyclotrain.contract import Contract, Layout
from cyclotrain.dataset import iterate_split
from cyclotrain.errors import InputError
from cyclotrain.features import FeatureLayer, Moments
from cyclotrain.provenance import content_sha256, read_json, write_json
from cyclotrain.recipe import DatasetRecipe
from cyclotrain.splits import SPLITS

_BATCH = 4096
_log = logging.getLogger(__name__)


def assemble(
    recipe: DatasetRecipe, receipts: Sequence[str], shards: Sequence[str], contract: str | Path, dataset: str | Path
) -> None:
    """Write contract.json and dataset.json from the receipts and shards of all samples, in one order.

    Raises InputError for a sample without selected events or with a sum of weights that is not positive, for a class
    without training, validation or test events, and for samples whose branches are jagged in one and flat in another.
    """
    parts = [read_json(path) for path in receipts]
    layout = _common_layout(parts, receipts)
    samples = {name: _sample([part for part in parts if part["sample"] == name], recipe, name) for name in recipe.samples}
    by_class = {name: _sum_splits([sample["by_class"][name] for sample in samples.values()]) for name in recipe.classes}
    for name, splits in by_class.items():
        _check_class(name, splits)
    write_json(
        dataset,
        {
            "samples": samples,
            "by_class": by_class,
            "files": [{**file, "sample": part["sample"]} for part in parts for file in part["files"]],
            "shards": dict(zip(map(str, shards), (part["shard_xxh3"] for part in parts), strict=True)),
        },
    )
    layout, ranges = _fitted(layout, shards)
    Contract(
        run=recipe.run,
        seed=recipe.seed,
        classes=tuple(recipe.classes),
        signal=recipe.signal,
        layout=layout,
        ranges=ranges,
        class_weights=_class_weights(by_class, recipe.balance),
        split=recipe.split,
        event_id=tuple(recipe.event_id),
        samples={name: {key: sample[key] for key in ("recipe", "by_class")} for name, sample in samples.items()},
        dataset_sha256=content_sha256([part["shard_xxh3"] for part in parts]),
    ).write(contract)


def _common_layout(parts: Sequence[Any], receipts: Sequence[str]) -> Layout:
    for part, path in zip(parts, receipts, strict=True):
        if part["layout"] != parts[0]["layout"]:
            raise InputError(
                f"{path}: a branch is jagged here and flat in {receipts[0]}, or the other way round; see their 'layout'"
            )
    return Layout.from_dict(parts[0]["layout"])


def _sample(parts: Sequence[Any], recipe: DatasetRecipe, name: str) -> dict[str, Any]:
    by_class = {c: _sum_splits([part["by_class"][c] for part in parts]) for c in recipe.classes}
    read, kept = (sum(part[key] for part in parts) for key in ("events_read", "events_kept"))
    of_sample = {key: parts[0]["recipe"][key] for key in ("label", "selection", "define", "weight")}
    cuts = " and ".join(of_sample["selection"]) or "none"
    if kept == 0:
        reason = "its trees are empty" if read == 0 else f"none of its {read} events passes the selection ({cuts})"
        raise InputError(f"samples.{name}: no events: {reason}")
    total = sum(total["sum_of_weights"] for splits in by_class.values() for total in splits.values())
    if total <= 0:
        raise InputError(
            f"samples.{name}: the sum of weights '{of_sample['weight']}' is {total:g} over {kept} events; it must be positive"
        )
    _log.info("sample %s: %d examples from %d entries, sum of weights %.6g", name, kept, read, total)
    return {"events_read": read, "events_kept": kept, "by_class": by_class, "recipe": of_sample}


def _sum_splits(parts: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {split: {key: sum(part[split][key] for part in parts) for key in parts[0][split]} for split in SPLITS}


def _check_class(name: str, splits: Mapping[str, Mapping[str, float]]) -> None:
    if not any(total["events"] for total in splits.values()):
        raise InputError(f"classes: '{name}' has no events in any sample; check the labels and the selection")
    for split, total in splits.items():
        if not total["events"]:
            raise InputError(f"classes: '{name}' has no events in the {split} split; give more events, or a larger split.{split}")
        if total["sum_of_weights"] <= 0:
            raise InputError(
                f"classes: '{name}' has the sum of weights {total['sum_of_weights']:g} in the {split} split; it must be positive"
            )


def _class_weights(by_class: Mapping[str, Mapping[str, Mapping[str, float]]], balance: str) -> tuple[float, ...]:
    """Factors that give the mean training weight 1 and, if balanced, each class the same sum."""
    sums = [splits["train"]["sum_of_weights"] for splits in by_class.values()]
    events = sum(splits["train"]["events"] for splits in by_class.values())
    if balance == "classes":
        return tuple(events / len(sums) / total for total in sums)
    return (events / sum(sums),) * len(sums)


def _fitted(layout: Layout, shards: Sequence[str]) -> tuple[Layout, dict[str, tuple[float, float] | None]]:
    """The layout with mean and std, and the range of each branch, from the finite values of the training split."""
    layer = FeatureLayer(layout)
    moments = {name: Moments(len(features.features)) for name, features in layout.sets.items()}
    ranges = dict.fromkeys(layout.inputs, _Range())
    for examples in iterate_split(shards, layout, "train"):
        for batch in Batches(examples, layout, _BATCH):
            real: dict[str | None, Tensor | None] = {None: None}
            for name in layout.sets:
                x, mask = layer.raw(batch.branches, name)
                moments[name].add(x if mask is None else x[mask])
                real[name] = mask
            for branch, of_set in layout.inputs.items():
                values, mask = batch.branches[branch], real[of_set]
                ranges[branch] = ranges[branch].with_values(values if mask is None else values[mask])
    try:
        sets = {name: moments[name].fitted(features) for name, features in layout.sets.items()}
    except ValueError as error:
        raise InputError(f"inputs: {error}") from None
    found = {branch: (of.minimum, of.maximum) if of.minimum <= of.maximum else None for branch, of in ranges.items()}
    return dataclasses.replace(layout, sets=sets), found


@dataclasses.dataclass(frozen=True)
class _Range:
    """The smallest and the largest of some finite values; the wrong way round for none."""

    minimum: float = math.inf
    maximum: float = -math.inf

    def with_values(self, values: Tensor) -> "_Range":
        """The range that holds the finite ones of `values` too."""
        finite = values[torch.isfinite(values)]
        if not finite.numel():
            return self
        low, high = (float(value) for value in finite.aminmax())
        return _Range(min(low, self.minimum), max(high, self.maximum))
