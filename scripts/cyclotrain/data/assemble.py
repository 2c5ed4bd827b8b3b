"""From shards to a dataset: totals, class balance, standardisation fitted on the training split, and the contract."""

import dataclasses
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cyclotrain.contract import Contract, Layout, Observer, Quantity
from cyclotrain.contract.parent import standardised_as_parent
from cyclotrain.contract.results import Dataset
from cyclotrain.contract.splits import SPLITS, Fold
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import json_sha256, read_json
from cyclotrain.data.batches import Batches
from cyclotrain.data.hash_split import HashSplit
from cyclotrain.data.recipe import DatasetRecipe
from cyclotrain.data.shards import iterate_split, totals_by_class
from cyclotrain.data.training_weights import Histograms, WeightPolicy
from cyclotrain.ingest.totals import ExamplesPerEntry
from cyclotrain.networks.features import FeatureLayer, Moments

_BATCH = 4096
_FB_IN_PB = 1000  # cross sections are in pb, the luminosity in fb⁻¹
_log = logging.getLogger(__name__)


def assemble(
    recipe: DatasetRecipe,
    *,
    receipts: Sequence[str],
    shards: Sequence[str],
    contract: str | Path,
    dataset: str | Path,
    parent: str | Path | None = None,
) -> None:
    """Write contract.json and dataset.json from the receipts and shards of all samples, both in the same order.

    `parent`: the contract of the training whose weights this one begins with; features are standardised as there.

    Raises InputError if a sample has no selected events, or its sum of weights is not positive; if a class has no training,
    validation or test events; if `event_id` does not tell the events of a sample apart; and if a branch is jagged in one sample
    and flat in another.
    """
    start = time.monotonic()
    parts = [read_json(path) for path in receipts]
    fold = Fold(**recipe.fold) if recipe.fold else None
    parts = [{**part, "by_class": totals_by_class(shard, recipe.groups, fold)} for part, shard in zip(parts, shards, strict=True)]
    layout = _common_layout(parts, receipts)
    policy = WeightPolicy(recipe.training_weights, recipe.negative_weights)
    skipped = [{**file, "sample": part["sample"]} for part in parts for file in part["skipped"]]
    _check_skipped(skipped, parts, recipe)
    samples = {name: _sample([part for part in parts if part["sample"] == name], recipe, name) for name in recipe.samples}
    normalisation = {name: sample["normalisation"] for name, sample in samples.items()}
    by_class = {name: _sum_splits([sample["by_class"][name] for sample in samples.values()]) for name in recipe.groups}
    hash_splits = _hash_splits(samples, parts, shards, recipe=recipe, fold=fold)
    for hash_split in hash_splits.values():
        hash_split.check_shares()
    for name, splits in by_class.items():
        class_splits = [split for sample, split in hash_splits.items() if _n_events(samples[sample]["by_class"][name])]
        subject = f"classes: '{name}' has" if recipe.classes else "samples: together they have"
        _check_group(subject, splits, policy, class_splits)
    class_weights = _class_weights(by_class, policy, recipe.balance)
    histograms = None
    if recipe.flatten:
        histograms = Histograms(
            recipe.flatten,
            classes=recipe.groups,
            observers=layout.observers,
            policy=policy,
        )
    quantities = [Quantity.from_dict(fields) for fields in recipe.regression]
    fitted = _fit(layout, shards, quantities, normalisation=normalisation, fold=fold, histograms=histograms)
    layout = fitted.layout
    if parent:
        layout = standardised_as_parent(layout, Contract.read(parent), other_inputs=recipe.other_inputs)
    flattening, flattening_summary = histograms.flattening(class_weights) if histograms else (None, None)
    constituents = _sum_all([part["constituents"] for part in parts])
    Dataset.model_validate(
        {
            "samples": samples,
            "by_class": by_class,
            "constituents": constituents,
            "flattening": flattening_summary,
            "files": [{**file, "sample": part["sample"]} for part in parts for file in part["files"]],
            "skipped": skipped,
            "shards": dict(zip(map(str, shards), (part["shard_xxh3"] for part in parts), strict=True)),
        }
    ).write(dataset)
    Contract(
        run=recipe.run,
        seed=recipe.seed,
        classes=tuple(recipe.classes),
        signal=recipe.signal,
        regression=fitted.regression,
        layout=layout,
        ranges=fitted.ranges,
        class_weights=class_weights,
        training_weights=recipe.training_weights,
        negative_weights=recipe.negative_weights,
        flattening=flattening,
        baseline_features=tuple(recipe.baseline_features),
        observers=tuple(Observer(**fields) for fields in recipe.observers),
        split=recipe.split,
        fold=fold,
        event_id=tuple(recipe.event_id) if isinstance(recipe.event_id, list) else recipe.event_id,
        samples={name: {key: sample[key] for key in ("recipe", "normalisation", "by_class")} for name, sample in samples.items()},
        dataset_sha256=json_sha256([part["shard_xxh3"] for part in parts]),
    ).write(contract)
    _log.info(
        "dataset: %s examples, %s constituents, from %d shards in %.1f s",
        f"{sum(sample['events_kept'] for sample in samples.values()):,}",
        f"{sum(counts['read'] for counts in constituents.values()):,}",
        len(shards), time.monotonic() - start,
    )  # fmt: skip


def _common_layout(parts: Sequence[Any], receipts: Sequence[str]) -> Layout:
    known = [(part["layout"], path) for part, path in zip(parts, receipts, strict=True) if part["layout"]]
    if not known:
        raise InputError("no file of any sample can be read; the reasons are in the receipts: " + ", ".join(receipts[:5]))
    first_layout, first_path = known[0]
    for layout, path in known:
        if layout != first_layout:
            raise InputError(
                f"{path}: a branch is jagged here and flat in {first_path}, or the reverse; compare 'layout' in the two files"
            )
    return Layout.from_dict(first_layout)


def _check_skipped(skipped: Sequence[Mapping[str, str]], parts: Sequence[Any], recipe: DatasetRecipe) -> None:
    """Raise InputError if more files of a sample were skipped than `skip_broken` allows."""
    for name in recipe.samples:
        reasons = [file["reason"] for file in skipped if file["sample"] == name]
        total = len(reasons) + sum(len(part["files"]) for part in parts if part["sample"] == name)
        if len(reasons) > recipe.skip_broken * total:
            listed = "".join(f"\n  {reason}" for reason in reasons[:5])
            raise InputError(
                f"samples.{name}: {len(reasons)} of {total} files were skipped, and 'skip_broken' allows "
                f"{recipe.skip_broken:g} of them:{listed}"
            )
        if reasons:
            _log.warning("sample %s: %d of %d files were skipped", name, len(reasons), total)


def _sample(parts: Sequence[Any], recipe: DatasetRecipe, name: str) -> dict[str, Any]:
    by_class = {c: _sum_splits([part["by_class"][c] for part in parts]) for c in recipe.groups}
    read, kept = (sum(part[key] for part in parts) for key in ("events_read", "events_kept"))
    sample_recipe = {key: parts[0]["recipe"][key] for key in ("label", "selection", "define", "weight", "split")}
    cuts = " and ".join(sample_recipe["selection"]) or "none"
    if kept == 0:
        reason = "its trees are empty" if read == 0 else f"none of its {read} events passes the selection ({cuts})"
        raise InputError(f"samples.{name}: no events: {reason}")
    normalised = _normalisation(parts, recipe, name)
    totals = [total for splits in by_class.values() for total in splits.values()]
    for total in totals:
        for key in ("sum_of_weights", "sum_of_negative_weights"):
            total[key] *= normalised["normalisation"]
    sum_of_weights = sum(total["sum_of_weights"] for total in totals)
    if sum_of_weights <= 0:
        raise InputError(
            f"samples.{name}: the sum of weights '{sample_recipe['weight']}' is {sum_of_weights:g} over {kept} events; "
            "it must be positive"
        )
    _log.info("sample %s: %d examples from %d entries, sum of weights %.6g", name, kept, read, sum_of_weights)
    return {"events_read": read, "events_kept": kept, "by_class": by_class, "recipe": sample_recipe, **normalised}


def _normalisation(parts: Sequence[Any], recipe: DatasetRecipe, name: str) -> dict[str, Any]:
    """Cross section * luminosity / sum of generator weights over all files of the sample, and these three numbers."""
    if name not in recipe.cross_sections:
        return {"normalisation": 1.0}
    generated = math.fsum(file["sum_of_generator_weights"] for part in parts for file in part["files"])
    if not math.isfinite(generated) or generated <= 0:
        raise InputError(f"samples.{name}: the sum of generator weights is {generated:g} over its files; it must be positive")
    cross_section = recipe.cross_sections[name]
    return {
        "normalisation": cross_section * _FB_IN_PB * recipe.luminosity / generated,
        "cross_section_pb": cross_section,
        "luminosity_fb": recipe.luminosity,
        "sum_of_generator_weights": generated,
    }


def _sum_splits(parts: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    return {split: {key: sum(part[split][key] for part in parts) for key in parts[0][split]} for split in SPLITS}


def _sum_all(parts: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    filled = [part for part in parts if part]  # a job that kept no example has no counts
    if not filled:
        return {}
    return {name: {key: sum(part[name][key] for part in filled) for key in counts} for name, counts in filled[0].items()}


def _n_events(splits: Mapping[str, Mapping[str, float]]) -> int:
    return sum(int(total["events"]) for total in splits.values())


def _hash_splits(
    samples: Mapping[str, Any], parts: Sequence[Any], shards: Sequence[str], *, recipe: DatasetRecipe, fold: Fold | None
) -> dict[str, HashSplit]:
    """The samples that the hash of `event_id` splits, by name."""
    hash_splits = {}
    for name, sample in samples.items():
        if isinstance(sample["recipe"]["split"], str):  # a split that the config gives
            continue
        own = [(part, shard) for part, shard in zip(parts, shards, strict=True) if part["sample"] == name]
        by_split = {split: sum(int(c[split]["events"]) for c in sample["by_class"].values()) for split in SPLITS}
        per_entry = sum((ExamplesPerEntry(**part["examples_per_entry"]) for part, _ in own), ExamplesPerEntry())
        hash_splits[name] = HashSplit(
            name, recipe.event_id, by_split, fold.shares if fold else recipe.split, per_entry, [shard for _, shard in own]
        )
    return hash_splits


def _check_group(
    subject: str, splits: Mapping[str, Mapping[str, float]], policy: WeightPolicy, hash_splits: Sequence[HashSplit]
) -> None:
    """Check the splits of a class, or of all examples; `hash_splits`: those of its samples."""
    if not _n_events(splits):
        raise InputError(f"{subject} no events in any sample; check the labels and the selection")
    for split, total in splits.items():
        if not total["events"]:
            reason = next((reason for hash_split in hash_splits if (reason := hash_split.few_values())), None)
            advice = f": {reason}" if reason else "; add events, or give this split a larger share or a sample"
            raise InputError(f"{subject} no events in the {split} split{advice}")
        sum_of_weights = total["sum_of_weights"] if split == "test" else policy.sum(total)
        if sum_of_weights <= 0:
            raise InputError(f"{subject} the sum of weights {sum_of_weights:g} in the {split} split; it must be positive")


def _class_weights(
    by_class: Mapping[str, Mapping[str, Mapping[str, float]]], policy: WeightPolicy, balance: str
) -> tuple[float, ...]:
    """Factors after which the mean training weight is 1 and, with `balance: classes`, each class has the same sum."""
    sums = [policy.sum(splits["train"]) for splits in by_class.values()]
    events = sum(splits["train"]["events"] for splits in by_class.values())
    if balance == "classes":
        return tuple(events / len(sums) / total for total in sums)
    return (events / sum(sums),) * len(sums)


@dataclasses.dataclass(frozen=True)
class _Fitted:
    """Features and quantities with their mean and standard deviation, and the range of each branch."""

    layout: Layout
    regression: tuple[Quantity, ...]
    ranges: dict[str, tuple[float, float] | None]


def _fit(
    layout: Layout,
    shards: Sequence[str],
    quantities: Sequence[Quantity],
    *,
    normalisation: Mapping[str, float],
    fold: Fold | None,
    histograms: Histograms | None,
) -> _Fitted:
    """All that is fitted on the finite values of the training split. The same pass over the shards fills `histograms`."""
    layer = FeatureLayer(layout)
    moments = {name: Moments(len(features.features)) for name, features in layout.sets.items()}
    target_moments = Moments(len(quantities))
    ranges = dict.fromkeys(layout.inputs, _Range())
    for examples in iterate_split(shards, layout, "train", normalisation=normalisation, fold=fold):
        if histograms:
            histograms.add(examples)
        for batch in Batches(examples, layout, _BATCH):
            target_moments.add(batch.target)
            masks: dict[str | None, Tensor | None] = {None: None}
            for name in layout.sets:
                x, mask, _ = layer.raw(batch.branches, name)
                moments[name].add(x if mask is None else x[mask])
                masks[name] = mask
            for branch, set_name in layout.inputs.items():
                values, mask = batch.branches[branch], masks[set_name]
                ranges[branch] = ranges[branch].with_values(values if mask is None else values[mask])
    try:
        sets = {name: moments[name].fitted(features) for name, features in layout.sets.items()}
    except ValueError as error:
        raise InputError(f"inputs: {error}") from None
    limits = {branch: values.limits for branch, values in ranges.items()}
    return _Fitted(dataclasses.replace(layout, sets=sets), _fitted(quantities, target_moments), limits)


def _fitted(quantities: Sequence[Quantity], moments: Moments) -> tuple[Quantity, ...]:
    """The quantities with offset and scale; raises InputError for one that no example of the training split has."""
    for quantity, count in zip(quantities, moments.count.tolist(), strict=True):
        if not count:
            raise InputError(
                f"regression.{quantity.name}: no example of the training split has it; check its 'classes' and 'samples', the "
                "labels and the selection"
            )
    offsets, scales = moments.mean.float().tolist(), moments.std().float().tolist()
    return tuple(
        dataclasses.replace(quantity, offset=offset, scale=scale)
        for quantity, offset, scale in zip(quantities, offsets, scales, strict=True)
    )


@dataclasses.dataclass(frozen=True)
class _Range:
    """The smallest and the largest of some finite values; minimum > maximum if there are none."""

    minimum: float = math.inf
    maximum: float = -math.inf

    @property
    def limits(self) -> tuple[float, float] | None:
        return (self.minimum, self.maximum) if self.minimum <= self.maximum else None

    def with_values(self, values: Tensor) -> "_Range":
        """The range extended by the finite values of `values`."""
        finite = values[torch.isfinite(values)]
        if not finite.numel():
            return self
        low, high = (float(value) for value in finite.aminmax())
        return _Range(min(low, self.minimum), max(high, self.maximum))
