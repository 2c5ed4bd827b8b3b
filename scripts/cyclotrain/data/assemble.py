"""Shards to a dataset: totals, class balance, standardisation on the training split, and the contract."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclotrain.contract import Contract, Layout
from cyclotrain.contract.splits import SPLITS, Fold
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import json_sha256, read_json, write_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.data.shards import by_class as by_class_of
from cyclotrain.data.shards import iterate_split
from cyclotrain.data.training_weights import Histograms, sum_for_training
from cyclotrain.networks.features import FeatureLayer, Moments

_BATCH = 4096
_PB_FB = 1000  # fb in a pb: cross sections are in pb, the luminosity in fb⁻¹
_log = logging.getLogger(__name__)


def assemble(
    recipe: DatasetRecipe, receipts: Sequence[str], shards: Sequence[str], contract: str | Path, dataset: str | Path
) -> None:
    """Write contract.json and dataset.json from the receipts and shards of all samples, in one order.

    Raises InputError for a sample without selected events or with a sum of weights that is not positive, for a class
    without training, validation or test events, and for samples whose branches are jagged in one and flat in another.
    """
    parts = [read_json(path) for path in receipts]
    fold = Fold(**recipe.fold) if recipe.fold else None
    parts = [{**part, "by_class": by_class_of(shard, recipe.classes, fold)} for part, shard in zip(parts, shards, strict=True)]
    layout = _common_layout(parts, receipts)
    skipped = [{**file, "sample": part["sample"]} for part in parts for file in part["skipped"]]
    _check_skipped(skipped, parts, recipe)
    samples = {name: _sample([part for part in parts if part["sample"] == name], recipe, name) for name in recipe.samples}
    normalisation = {name: sample["normalisation"] for name, sample in samples.items()}
    by_class = {name: _sum_splits([sample["by_class"][name] for sample in samples.values()]) for name in recipe.classes}
    for name, splits in by_class.items():
        _check_class(name, splits, recipe.negative_weights)
    class_weights = _class_weights(by_class, recipe)
    histograms = None
    if recipe.flatten:
        histograms = Histograms(recipe.flatten, recipe.classes, layout.observers, recipe.negative_weights)
    layout, ranges = _fitted(layout, shards, normalisation, fold, histograms)
    flattening, flattened = histograms.flattening(class_weights) if histograms else (None, None)
    write_json(
        dataset,
        {
            "samples": samples,
            "by_class": by_class,
            "constituents": _sum_all([part["constituents"] for part in parts]),
            "flattening": flattened,
            "files": [{**file, "sample": part["sample"]} for part in parts for file in part["files"]],
            "skipped": skipped,
            "shards": dict(zip(map(str, shards), (part["shard_xxh3"] for part in parts), strict=True)),
        },
    )
    Contract(
        run=recipe.run,
        seed=recipe.seed,
        classes=tuple(recipe.classes),
        signal=recipe.signal,
        layout=layout,
        ranges=ranges,
        class_weights=class_weights,
        negative_weights=recipe.negative_weights,
        flattening=flattening,
        baseline_features=tuple(recipe.baseline_features),
        split=recipe.split,
        fold=fold,
        event_id=tuple(recipe.event_id),
        samples={name: {key: sample[key] for key in ("recipe", "normalisation", "by_class")} for name, sample in samples.items()},
        dataset_sha256=json_sha256([part["shard_xxh3"] for part in parts]),
    ).write(contract)


def _common_layout(parts: Sequence[Any], receipts: Sequence[str]) -> Layout:
    known = [(part["layout"], path) for part, path in zip(parts, receipts, strict=True) if part["layout"]]
    if not known:
        raise InputError("no file of any sample can be read; the receipts tell why: " + ", ".join(receipts[:5]))
    first, of_first = known[0]
    for layout, path in known:
        if layout != first:
            raise InputError(
                f"{path}: a branch is jagged here and flat in {of_first}, or the other way round; see their 'layout'"
            )
    return Layout.from_dict(first)


def _check_skipped(skipped: Sequence[Mapping[str, str]], parts: Sequence[Any], recipe: DatasetRecipe) -> None:
    """Raise InputError for a sample of which more files were skipped than may be."""
    for name in recipe.samples:
        of_sample = [file for file in skipped if file["sample"] == name]
        total = len(of_sample) + sum(len(part["files"]) for part in parts if part["sample"] == name)
        if len(of_sample) > recipe.skip_broken * total:
            listed = "".join(f"\n  {file['reason']}" for file in of_sample[:5])
            raise InputError(
                f"samples.{name}: {len(of_sample)} of {total} files were skipped, and 'skip_broken' allows "
                f"{recipe.skip_broken:g} of them:{listed}"
            )
        if of_sample:
            _log.warning("sample %s: %d of %d files were skipped", name, len(of_sample), total)


def _sample(parts: Sequence[Any], recipe: DatasetRecipe, name: str) -> dict[str, Any]:
    by_class = {c: _sum_splits([part["by_class"][c] for part in parts]) for c in recipe.classes}
    read, kept = (sum(part[key] for part in parts) for key in ("events_read", "events_kept"))
    of_sample = {key: parts[0]["recipe"][key] for key in ("label", "selection", "define", "weight", "split")}
    cuts = " and ".join(of_sample["selection"]) or "none"
    if kept == 0:
        reason = "its trees are empty" if read == 0 else f"none of its {read} events passes the selection ({cuts})"
        raise InputError(f"samples.{name}: no events: {reason}")
    normalised = _normalisation(parts, recipe, name)
    for of_split in (of_split for splits in by_class.values() for of_split in splits.values()):
        for key in ("sum_of_weights", "sum_of_negative_weights"):
            of_split[key] *= normalised["normalisation"]
    total = sum(total["sum_of_weights"] for splits in by_class.values() for total in splits.values())
    if total <= 0:
        raise InputError(
            f"samples.{name}: the sum of weights '{of_sample['weight']}' is {total:g} over {kept} events; it must be positive"
        )
    _log.info("sample %s: %d examples from %d entries, sum of weights %.6g", name, kept, read, total)
    return {"events_read": read, "events_kept": kept, "by_class": by_class, "recipe": of_sample, **normalised}


def _normalisation(parts: Sequence[Any], recipe: DatasetRecipe, name: str) -> dict[str, Any]:
    """Cross section * luminosity / sum of generator weights over all files of the sample, and what it is made from."""
    if name not in recipe.cross_sections:
        return {"normalisation": 1.0}
    generated = math.fsum(file["sum_of_generator_weights"] for part in parts for file in part["files"])
    if not math.isfinite(generated) or generated <= 0:
        raise InputError(f"samples.{name}: the sum of generator weights is {generated:g} over its files; it must be positive")
    cross_section = recipe.cross_sections[name]
    return {
        "normalisation": cross_section * _PB_FB * recipe.luminosity / generated,
        "cross_section_pb": cross_section,
        "luminosity_fb": recipe.luminosity,
        "sum_of_generator_weights": generated,
    }


def _sum_splits(parts: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {split: {key: sum(part[split][key] for part in parts) for key in parts[0][split]} for split in SPLITS}


def _sum_all(parts: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    known = [part for part in parts if part]  # without those of jobs that kept nothing
    return {name: {key: sum(part[name][key] for part in known) for key in of} for name, of in known[0].items()} if known else {}


def _check_class(name: str, splits: Mapping[str, Mapping[str, float]], negative_weights: str) -> None:
    if not any(total["events"] for total in splits.values()):
        raise InputError(f"classes: '{name}' has no events in any sample; check the labels and the selection")
    for split, total in splits.items():
        if not total["events"]:
            raise InputError(
                f"classes: '{name}' has no events in the {split} split; give more events, or a larger share or sample for it"
            )
        of_split = total["sum_of_weights"] if split == "test" else sum_for_training(total, negative_weights)
        if of_split <= 0:
            raise InputError(f"classes: '{name}' has the sum of weights {of_split:g} in the {split} split; it must be positive")


def _class_weights(by_class: Mapping[str, Mapping[str, Mapping[str, float]]], recipe: DatasetRecipe) -> tuple[float, ...]:
    """Factors that give the mean training weight 1 and, if balanced, each class the same sum."""
    sums = [sum_for_training(splits["train"], recipe.negative_weights) for splits in by_class.values()]
    events = sum(splits["train"]["events"] for splits in by_class.values())
    if recipe.balance == "classes":
        return tuple(events / len(sums) / total for total in sums)
    return (events / sum(sums),) * len(sums)


def _fitted(
    layout: Layout,
    shards: Sequence[str],
    normalisation: Mapping[str, float],
    fold: Fold | None,
    histograms: Histograms | None,
) -> tuple[Layout, dict[str, tuple[float, float] | None]]:
    """The layout with mean and std, and the range of each branch, from the finite values of the training split.

    The `histograms` are filled on the way.
    """
    layer = FeatureLayer(layout)
    moments = {name: Moments(len(features.features)) for name, features in layout.sets.items()}
    ranges = dict.fromkeys(layout.inputs, _Range())
    for examples in iterate_split(shards, layout, "train", normalisation, fold):
        if histograms:
            histograms.add(examples)
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
